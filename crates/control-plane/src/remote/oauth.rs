use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use plinth_core::{AllProjects, Permit};
use plinth_egress::{Scheme, WebAddress};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::service::{account_change, failed};
use super::{Remote, RemoteAnswer, RemoteCall, RemoteError, RemoteForm, RemoteId, Remotes};

/// Where Neon's own accounts sign in.
pub const NEON_ISSUER: &str = "https://oauth2.neon.tech";

/// What is asked for at Neon unless said: to look after projects, and to go on doing so without anybody there.
const NEON_SCOPES: [&str; 8] = [
    "openid",
    "offline",
    "offline_access",
    "urn:neoncloud:projects:create",
    "urn:neoncloud:projects:read",
    "urn:neoncloud:projects:update",
    "urn:neoncloud:projects:delete",
    "urn:neoncloud:orgs:read",
];

/// How long somebody may take to say yes.
const ASKED_FOR: SignedDuration = SignedDuration::from_mins(10);

/// How long before its end a token is renewed.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// For how long one server renews a token and others wait: longer than the call that renews it may take.
const LEASE: SignedDuration = SignedDuration::from_secs(60);

/// How often another server's renewal is looked after, and how often at most.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(100);
const MOST_LOOKS: u32 = 100;

/// How Plinth signs in at a remote by OAuth 2.0: what of it is no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OAuthClient {
    /// Who gives the tokens.
    pub issuer: String,
    /// Where people say yes.
    pub authorize_url: String,
    /// Where codes and refresh tokens are exchanged.
    pub token_url: String,
    /// Where tokens are ended; `None` if it has no such place.
    pub revoke_url: Option<String>,
    /// What Plinth is called there.
    pub client_id: String,
    /// What is asked for.
    pub scopes: Vec<String>,
}

/// How a new remote is to be signed in to by OAuth 2.0.
#[derive(Clone, Debug)]
pub struct NewOAuth {
    /// Who gives the tokens; `None` for Neon's own.
    pub issuer: Option<String>,
    /// What Plinth is called there.
    pub client_id: String,
    /// The client's secret; `None` for a public one.
    pub client_secret: Option<SecretString>,
    /// What is asked for; `None` for what Neon needs.
    pub scopes: Option<Vec<String>>,
}

/// Where somebody is to say yes.
#[derive(Clone, Debug)]
pub struct Authorization {
    /// The page to open in a browser.
    pub url: String,
    /// Until when what it comes back with is taken.
    pub expires_at: Timestamp,
}

/// What is kept sealed of a remote that is signed in to by OAuth 2.0.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) client_secret: Option<String>,
    pub(super) tokens: Option<Tokens>,
    pub(super) asked: Option<Asked>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Tokens {
    access: String,
    refresh: Option<String>,
    /// `None` where it was not said: until it is refused.
    expires_at: Option<Timestamp>,
}

/// A question to somebody that is not answered yet.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Asked {
    state: String,
    verifier: String,
    expires_at: Timestamp,
}

impl Kept {
    pub(super) fn read(text: &SecretString) -> Result<Self, RemoteError> {
        serde_json::from_str(text.expose_secret()).map_err(|_| {
            plinth_core::StoreError::Internal("a remote's secret has no form".into()).into()
        })
    }

    pub(super) fn write(&self) -> Result<SecretString, RemoteError> {
        let text = serde_json::to_string(self);
        Ok(text.map_err(|err| plinth_core::StoreError::Internal(err.into()))?.into())
    }
}

impl Tokens {
    /// Reads an answer of the token endpoint. One that gives no new refresh token leaves the one before.
    fn of(body: &Value, before: Option<&str>, now: Timestamp) -> Option<Self> {
        let text = |name: &str| body[name].as_str().filter(|it| !it.is_empty()).map(str::to_owned);
        let is_bearer =
            body["token_type"].as_str().is_none_or(|it| it.eq_ignore_ascii_case("bearer"));
        let seconds = body["expires_in"].as_i64().filter(|it| (0..=31_536_000).contains(it));
        Some(Self {
            access: text("access_token").filter(|_| is_bearer)?,
            refresh: text("refresh_token").or_else(|| before.map(str::to_owned)),
            expires_at: seconds.map(|it| now + SignedDuration::from_secs(it)),
        })
    }

    fn is_good(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|it| it > now)
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        // One that cannot be renewed is used to its end.
        self.expires_at.is_none_or(|it| it > now + MARGIN)
            || self.refresh.is_none() && self.is_good(now)
    }
}

impl Remotes {
    /// Reads where an issuer's endpoints are.
    pub(super) async fn client(
        &self,
        remote: &Remote,
        new: &NewOAuth,
    ) -> Result<OAuthClient, RemoteError> {
        let issuer = endpoint("issuer", new.issuer.as_deref().unwrap_or(NEON_ISSUER))?;
        let issuer = issuer.trim_end_matches('/').to_owned();
        let scopes = match &new.scopes {
            Some(scopes) => scopes.clone(),
            None => NEON_SCOPES.map(str::to_owned).to_vec(),
        };
        let is_scope = |it: &String| {
            !it.is_empty() && it.bytes().all(|it| it.is_ascii_graphic() && !b"\"\\".contains(&it))
        };
        if scopes.is_empty() || scopes.len() > 30 || !scopes.iter().all(is_scope) {
            return Err(RemoteError::field(
                "scopes",
                "have to be 1 to 30 scopes without spaces in them",
            ));
        }
        let plain =
            |it: &str| (1..=500).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_graphic());
        if !plain(&new.client_id)
            || new.client_secret.as_ref().is_some_and(|it| !plain(it.expose_secret()))
        {
            let rule = "and its secret have to be of 1 to 500 characters, without spaces";
            return Err(RemoteError::field("client_id", rule));
        }
        let told =
            self.plane.metadata(&issuer).await.map_err(|fault| match failed(remote, fault) {
                RemoteError::Field { rule, .. } => RemoteError::field("issuer", rule),
                other => other,
            })?;
        // Tokens for one issuer must not be had from another.
        if told["issuer"].as_str().map(|it| it.trim_end_matches('/')) != Some(issuer.as_str()) {
            return Err(RemoteError::field("issuer", "tells of another issuer than itself"));
        }
        let told = |name: &'static str| {
            let missing = || RemoteError::field("issuer", format!("tells no `{name}`"));
            endpoint("issuer", told[name].as_str().ok_or_else(missing)?)
        };
        Ok(OAuthClient {
            authorize_url: told("authorization_endpoint")?,
            token_url: told("token_endpoint")?,
            revoke_url: told("revocation_endpoint").ok(),
            issuer,
            client_id: new.client_id.clone(),
            scopes,
        })
    }

    /// Where browsers come back to.
    pub fn redirect_uri(&self) -> String {
        format!("{}/oauth/remote", self.public_url)
    }

    /// Begins to sign in to a remote: gives the page on which somebody says yes. What it comes back with goes to
    /// [`Remotes::connect`]; an earlier question is void.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Field`] for a remote with a key.
    pub async fn authorize(
        &self,
        permit: &Permit<AllProjects>,
        id: RemoteId,
    ) -> Result<Authorization, RemoteError> {
        let remote = self.found(permit.org(), id).await?;
        let client = by_oauth(&remote)?;
        let (state, verifier) = (random()?, random()?);
        let expires_at = self.clock.now() + ASKED_FOR;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
        self.keep_question(&remote, &Asked { state: state.clone(), verifier, expires_at }).await?;
        let (redirect_uri, scope) = (self.redirect_uri(), client.scopes.join(" "));
        let fields: [(&str, &str); 7] = [
            ("response_type", "code"),
            ("client_id", &client.client_id),
            ("redirect_uri", &redirect_uri),
            ("scope", &scope),
            ("state", &state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let url = format!("{}?{}", client.authorize_url, fields.join("&"));
        Ok(Authorization { url, expires_at })
    }

    /// Ends signing in to a remote, with what the browser came back with.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Field`] if it is not what was asked for, or too late, or not taken there.
    pub async fn connect(
        &self,
        permit: &Permit<AllProjects>,
        id: RemoteId,
        code: &SecretString,
        state: &str,
    ) -> Result<Remote, RemoteError> {
        let remote = self.found(permit.org(), id).await?;
        let client = by_oauth(&remote)?;
        let (_, mut kept) = self.kept(&remote).await?;
        let now = self.clock.now();
        let asked = kept.asked.take().filter(|it| it.expires_at > now);
        let asked = asked.filter(|it| is_same(&it.state, state)).ok_or_else(|| {
            let rule =
                "is not that of the last `POST …/authorization`, or it is too late: begin anew";
            RemoteError::field("state", rule)
        })?;
        let form = Self::form(
            client,
            &kept,
            [
                ("grant_type", "authorization_code".to_owned().into()),
                ("code", code.clone()),
                ("redirect_uri", self.redirect_uri().into()),
                ("code_verifier", asked.verifier.into()),
            ],
        );
        let answer = self.plane.form(form).await.map_err(|fault| failed(&remote, fault))?;
        let tokens = match answer.status {
            200 => Tokens::of(&answer.body, None, now),
            _ => {
                return Err(RemoteError::field(
                    "code",
                    format!("is not taken there: {}", why(&answer)),
                ));
            }
        };
        let no_token = || RemoteError::field("code", "was exchanged for no bearer token");
        let tokens = tokens.ok_or_else(no_token)?;
        let access: SecretString = tokens.access.clone().into();
        let account = self.let_in(permit, &remote, &access).await?;
        kept.tokens = Some(tokens);
        let sealed = self.seal(&remote, &kept.write()?).await?;
        let mut decide = account_change(permit, id, now, account, sealed);
        let changed = self.store.change(permit.org(), id, &mut decide).await?;
        changed.ok_or(RemoteError::NotFound("remote"))
    }

    /// A token that is good, renewed if it ends soon. Each refresh token is sent once: one server renews, others wait.
    pub(super) async fn access_token(
        &self,
        remote: &Remote,
        client: &OAuthClient,
    ) -> Result<SecretString, RemoteError> {
        for _ in 0..MOST_LOOKS {
            let now = self.clock.now();
            let (sealed, kept) = self.kept(remote).await?;
            let not_connected = || RemoteError::NotConnected(remote.name.clone());
            let tokens = kept.tokens.as_ref().ok_or_else(not_connected)?;
            if tokens.is_fresh(now) {
                return Ok(tokens.access.clone().into());
            }
            let refresh = tokens.refresh.clone().ok_or_else(not_connected)?;
            if !self.store.lease_renewal(remote.org, remote.id, LEASE).await? {
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
            // Somebody may have renewed it between our look and the lease: what we saw would be sent twice.
            if self.secret(remote).await?.0 != sealed {
                self.store.end_renewal(remote.org, remote.id).await?;
                continue;
            }
            let form = Self::form(
                client,
                &kept,
                [
                    ("grant_type", "refresh_token".to_owned().into()),
                    ("refresh_token", refresh.clone().into()),
                ],
            );
            let answer = self.plane.form(form).await;
            let renewed = match &answer {
                Ok(answer) if answer.status == 200 => {
                    Tokens::of(&answer.body, Some(&refresh), self.clock.now())
                }
                // It is not good any more: somebody has to say yes again.
                Ok(answer) if matches!(answer.status, 400 | 401) => None,
                _ => {
                    self.store.end_renewal(remote.org, remote.id).await?;
                    // The old one may do for now.
                    if tokens.is_good(now) {
                        return Ok(tokens.access.clone().into());
                    }
                    let why = match answer {
                        Ok(answer) => why(&answer),
                        Err(fault) => fault.to_string(),
                    };
                    return Err(RemoteError::Away { remote: remote.name.clone(), why });
                }
            };
            self.keep_renewed(remote, &refresh, renewed.as_ref()).await?;
            match renewed {
                // Good for this call also where it is given for less than the margin.
                Some(tokens) => return Ok(tokens.access.into()),
                None => {
                    tracing::warn!(remote = %remote.id, "a remote does not renew its token: somebody has to sign in to it anew");
                }
            }
        }
        let why = "another server is renewing its token".to_owned();
        Err(RemoteError::Away { remote: remote.name.clone(), why })
    }

    /// Puts what a refresh token was exchanged for in its place, whatever else of the secret has changed meanwhile, and gives
    /// the lease back.
    async fn keep_renewed(
        &self,
        remote: &Remote,
        refresh: &str,
        renewed: Option<&Tokens>,
    ) -> Result<(), RemoteError> {
        for _ in 0..10 {
            let (sealed, mut newest) = self.kept(remote).await?;
            // Where somebody has signed in anew meanwhile, theirs are the tokens.
            if newest.tokens.as_ref().and_then(|it| it.refresh.as_deref()) != Some(refresh) {
                break;
            }
            newest.tokens = renewed.cloned();
            let next = self.seal(remote, &newest.write()?).await?;
            if self.store.swap_secret(remote.org, remote.id, &sealed, &next).await? {
                break;
            }
        }
        Ok(self.store.end_renewal(remote.org, remote.id).await?)
    }

    /// Sends a call. A token that is refused before its time is renewed, once.
    pub(super) async fn ask(
        &self,
        remote: &Remote,
        call: RemoteCall,
    ) -> Result<RemoteAnswer, RemoteError> {
        let answer = self.plane.call(call.clone()).await.map_err(|it| failed(remote, it))?;
        if answer.status != 401 || remote.oauth.is_none() {
            return Ok(answer);
        }
        let (sealed, mut kept) = self.kept(remote).await?;
        let now = self.clock.now();
        // One that somebody else has marked already is being renewed.
        let tokens = kept
            .tokens
            .as_mut()
            .filter(|it| it.access == call.key.expose_secret() && it.is_fresh(now));
        if let Some(tokens) = tokens {
            tokens.expires_at = Some(now);
            let next = self.seal(remote, &kept.write()?).await?;
            self.store.swap_secret(remote.org, remote.id, &sealed, &next).await?;
        }
        let key = self.key(remote).await?;
        self.plane.call(RemoteCall { key, ..call }).await.map_err(|it| failed(remote, it))
    }

    /// Ends the tokens of a remote that is gone, as far as it lets them be ended.
    pub(super) async fn revoke(&self, remote: &Remote, kept: &Kept) {
        let Some(client) = &remote.oauth else { return };
        let (Some(url), Some(tokens)) = (&client.revoke_url, &kept.tokens) else { return };
        let token = tokens.refresh.clone().unwrap_or_else(|| tokens.access.clone());
        let mut form = Self::form(client, kept, [("token", token.into())]);
        form.url.clone_from(url);
        match self.plane.form(form).await {
            Ok(answer) if answer.status < 300 => {}
            Ok(answer) => {
                tracing::warn!(remote = %remote.id, status = answer.status, "a token could not be ended");
            }
            Err(error) => tracing::warn!(remote = %remote.id, %error, "a token could not be ended"),
        }
    }

    fn form<const N: usize>(
        client: &OAuthClient,
        kept: &Kept,
        fields: [(&'static str, SecretString); N],
    ) -> RemoteForm {
        let mut fields: Vec<_> = fields.into();
        fields.push(("client_id", client.client_id.clone().into()));
        fields.extend(kept.client_secret.clone().map(|it| ("client_secret", it.into())));
        RemoteForm { url: client.token_url.clone(), fields }
    }

    pub(super) async fn kept(
        &self,
        remote: &Remote,
    ) -> Result<(plinth_connections::Sealed, Kept), RemoteError> {
        let (sealed, text) = self.secret(remote).await?;
        Ok((sealed, Kept::read(&text)?))
    }

    /// Keeps a question to somebody, beside the tokens that there are.
    async fn keep_question(&self, remote: &Remote, asked: &Asked) -> Result<(), RemoteError> {
        for _ in 0..10 {
            let (sealed, mut kept) = self.kept(remote).await?;
            kept.asked = Some(asked.clone());
            let next = self.seal(remote, &kept.write()?).await?;
            if self.store.swap_secret(remote.org, remote.id, &sealed, &next).await? {
                return Ok(());
            }
        }
        Err(RemoteError::Changed)
    }
}

pub(super) fn by_oauth(remote: &Remote) -> Result<&OAuthClient, RemoteError> {
    remote.oauth.as_ref().ok_or_else(|| {
        RemoteError::field("id", "is of a remote that has a key: there is nothing to sign in to")
    })
}

/// An address of an authorization server, by the rules of those of remotes.
fn endpoint(field: &'static str, text: &str) -> Result<String, RemoteError> {
    let address = WebAddress::parse(text, Scheme::Any)
        .map_err(|err| RemoteError::field(field, err.to_string()))?;
    let is_here = matches!(address.host(), "localhost" | "127.0.0.1" | "[::1]");
    if address.is_plain() && !is_here {
        return Err(RemoteError::field(field, "has to begin with https://"));
    }
    if address.query().is_some() || address.as_str().len() > 500 {
        return Err(RemoteError::field(field, "has to be scheme, host and path"));
    }
    Ok(address.as_str().to_owned())
}

/// 32 random bytes, as text.
fn random() -> Result<String, RemoteError> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|err| plinth_core::StoreError::Internal(err.into()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Whether two texts are the same, in a time that does not tell how far they are.
fn is_same(one: &str, other: &str) -> bool {
    Sha256::digest(one) == Sha256::digest(other)
}

pub(super) fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// What an authorization server says of a refusal (RFC 6749, 5.2).
fn why(answer: &RemoteAnswer) -> String {
    let text = answer.body["error_description"].as_str().or(answer.body["error"].as_str());
    let text: String =
        text.unwrap_or_default().chars().filter(|it| !it.is_control()).take(200).collect();
    if text.is_empty() { format!("it answered {}", answer.status) } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_are_renewed_before_they_end() {
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap_or_default();
        let body = json!({ "access_token": "a", "refresh_token": "r", "expires_in": 3600, "token_type": "bearer" });
        let tokens = Tokens::of(&body, None, at(1000)).expect("tokens");
        assert!(tokens.is_fresh(at(1000)) && tokens.is_fresh(at(4500)));
        assert!(
            !tokens.is_fresh(at(4541)) && tokens.is_good(at(4541)) && !tokens.is_good(at(4600))
        );
        // One that is not rotated stays, and without any the token is used to its end.
        let kept = Tokens::of(&json!({ "access_token": "b" }), Some("r"), at(0)).expect("tokens");
        assert_eq!((kept.refresh.as_deref(), kept.is_fresh(at(1_000_000))), (Some("r"), true));
        let last = Tokens::of(&json!({ "access_token": "b", "expires_in": 60 }), None, at(0));
        assert!(last.expect("tokens").is_fresh(at(59)));
        for no in [
            json!({}),
            json!({ "access_token": "" }),
            json!({ "access_token": "a", "token_type": "mac" }),
        ] {
            assert!(Tokens::of(&no, None, at(0)).is_none(), "{no}");
        }
    }

    #[test]
    fn what_stands_in_an_address_is_escaped() {
        assert_eq!(
            escaped("urn:neoncloud:orgs:read offline"),
            "urn%3Aneoncloud%3Aorgs%3Aread%20offline"
        );
        assert!(is_same("a", "a") && !is_same("a", "b"));
    }
}
