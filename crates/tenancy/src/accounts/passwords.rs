use jiff::{SignedDuration, Timestamp};
use plinth_core::{Origin, UserId};
use secrecy::SecretString;

use super::authenticate::Person;
use super::error::AccountError;
use super::ports::{Account, NewPassword};
use super::service::{Accounts, entry};
use super::throttle::{Attempt, WINDOW};
use crate::outbox::{Letter, LetterTo, Message};
use crate::password::{Password, PasswordHash};
use crate::{AuditEntry, Email, LinkPurpose};

/// How long a link for a new password is good.
const LINK_LIFETIME: SignedDuration = SignedDuration::from_hours(1);

impl Accounts {
    /// What to keep of a first password; give it to [`Accounts::keep_first_password`] when there is somebody to have it.
    ///
    /// # Errors
    ///
    /// [`AccountError::InvalidPassword`] or [`AccountError::Busy`].
    pub async fn prepare_password(
        &self,
        typed: &SecretString,
        email: &Email,
    ) -> Result<PasswordHash, AccountError> {
        let password = Password::choose(typed, email)?;
        Ok(self.parts.hashing.hash(&password).await?)
    }

    /// Whether there is a person of that address who has a password. For whoever proved that the address is theirs.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn has_password(&self, email: &Email) -> Result<bool, AccountError> {
        let Some(user) = self.store().find_user(email).await? else { return Ok(false) };
        Ok(self.store().account(user).await?.is_some_and(|it| it.password.is_some()))
    }

    /// Keeps a person's first password; `false` if they have one, which stays.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn keep_first_password(
        &self,
        user: UserId,
        hash: &PasswordHash,
    ) -> Result<bool, AccountError> {
        Ok(self.store().set_first_password(user, hash, self.now()).await?)
    }

    /// Changes the password of whoever is signed in and knows the current one. Every other session of theirs ends, and
    /// with it what apps may do for them.
    ///
    /// # Errors
    ///
    /// - [`AccountError::WrongPassword`] if the current one is another; counted like a failed sign-in.
    /// - [`AccountError::InvalidPassword`] if the new one breaks a rule.
    /// - [`AccountError::Throttled`] or [`AccountError::Busy`].
    pub async fn change_password(
        &self,
        person: &Person,
        current: &SecretString,
        new: &SecretString,
    ) -> Result<(), AccountError> {
        let now = self.now();
        let account = self.account(person.user()).await?;
        let email = account.user.email.clone();
        let new = Password::choose(new, &email)?;
        let current = Password::typed(current).ok_or(AccountError::WrongPassword)?;
        let subjects = self.subjects(Attempt::SignIn, &email, person.origin().address);
        if let Some(refused) = self.parts.attempts.begin(&subjects, now, WINDOW).await? {
            return Err(self.throttled(refused));
        }
        if !self.parts.hashing.verify(&current, account.password.as_ref()).await? {
            return Err(AccountError::WrongPassword);
        }
        self.parts.attempts.succeeded(&subjects).await?;
        let changed = NewPassword {
            user: person.user(),
            hash: self.parts.hashing.hash(&new).await?,
            at: now,
            epoch: account.epoch,
            reset: None,
            keep: Some(person.session()),
        };
        let entry = person.entry(now, "user.password_changed");
        let entry = entry.map(|it| it.on("user", person.user()));
        let letter = person.org().or(account.recording_org()).map(|org| notice(&account, org, now));
        if !self.store().set_password(&changed, entry.as_ref(), letter.as_ref()).await? {
            // Somebody else changed it in this moment, or signed them out everywhere.
            return Err(AccountError::WrongPassword);
        }
        self.forget_all(person.user());
        Ok(())
    }

    /// Sends a letter with a link for a new password to whoever has that address. Says nothing of whether anybody does,
    /// and takes as long: the letter is made ready behind the answer.
    ///
    /// # Errors
    ///
    /// [`AccountError::Throttled`] for one network address that asks too often; an account that is asked for too often
    /// gets no more letters, and the caller is not told.
    pub async fn forgot(&self, email: &Email, origin: &Origin) -> Result<(), AccountError> {
        let now = self.now();
        let subjects = self.subjects(Attempt::Reset, email, origin.address);
        let (of_account, of_address) = subjects.split_at(1);
        if let Some(refused) = self.parts.attempts.begin(of_address, now, WINDOW).await? {
            return Err(self.throttled(refused));
        }
        let is_enough = self.parts.attempts.begin(of_account, now, WINDOW).await?.is_some();
        if is_enough {
            return Ok(());
        }
        let (accounts, email, origin) = (self.clone(), email.clone(), origin.clone());
        tokio::spawn(async move {
            if let Err(err) = accounts.send_reset(&email, &origin, now).await {
                let error = plinth_core::chain(&err);
                tracing::warn!(error, "a letter for a new password could not be made ready");
            }
        });
        Ok(())
    }

    async fn send_reset(
        &self,
        email: &Email,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), AccountError> {
        let Some(user) = self.store().find_user(email).await? else { return Ok(()) };
        let account = self.account(user).await?;
        // Letters wait in an organization's outbox. Who is in none has nothing here to lose, and can be invited anew.
        let Some(org) = account.recording_org() else { return Ok(()) };
        let expires_at = now + LINK_LIFETIME;
        let letter = |number| {
            let to = LetterTo::Address(email.as_str().to_owned());
            Some(Message::mail(org, now, &to, &Letter::PasswordReset { user, number, expires_at }))
        };
        let entry = entry(org, user, origin, now, "user.password_reset_requested").on("user", user);
        self.store().start_reset(user, expires_at, &letter, Some(&entry)).await?;
        Ok(())
    }

    /// Makes the token of a link for a new password, for an operator who hands it over themselves; `None` if nobody has
    /// that address.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn make_reset(
        &self,
        email: &Email,
    ) -> Result<Option<(SecretString, Timestamp)>, AccountError> {
        let now = self.now();
        let Some(user) = self.store().find_user(email).await? else { return Ok(None) };
        let account = self.account(user).await?;
        let expires_at = now + LINK_LIFETIME;
        let entry = account.recording_org().map(|org| {
            AuditEntry::of_plinth(org, now, "operator", "user.password_reset_requested")
                .on("user", user)
        });
        let number = self.store().start_reset(user, expires_at, &|_| None, entry.as_ref()).await?;
        let token = self.parts.links.token(LinkPurpose::PasswordReset, user.as_uuid(), number);
        Ok(Some((token, expires_at)))
    }

    /// Whether a link for a new password is good, before anybody types one.
    ///
    /// # Errors
    ///
    /// [`AccountError::InvalidLink`] if not.
    pub async fn check_reset(&self, token: &str) -> Result<Email, AccountError> {
        Ok(self.read_reset(token).await?.0.user.email)
    }

    /// Chooses a new password by the link of a letter. All sessions of the person end.
    ///
    /// # Errors
    ///
    /// - [`AccountError::InvalidLink`] if it was used, is older than an hour, or was followed by a newer one.
    /// - [`AccountError::InvalidPassword`] if the password breaks a rule; the link stays good.
    /// - [`AccountError::Busy`].
    pub async fn reset(
        &self,
        token: &str,
        new: &SecretString,
        origin: &Origin,
    ) -> Result<Email, AccountError> {
        let now = self.now();
        let (account, number) = self.read_reset(token).await?;
        let (user, email) = (account.user.id, account.user.email.clone());
        let new = Password::choose(new, &email)?;
        let changed = NewPassword {
            user,
            hash: self.parts.hashing.hash(&new).await?,
            at: now,
            epoch: account.epoch,
            reset: Some(number),
            keep: None,
        };
        let org = account.recording_org();
        let entry = org.map(|org| AuditEntry {
            credential_kind: "mailed_link".to_owned(),
            ..entry(org, user, origin, now, "user.password_reset").on("user", user)
        });
        let letter = org.map(|org| notice(&account, org, now));
        if !self.store().set_password(&changed, entry.as_ref(), letter.as_ref()).await? {
            return Err(AccountError::InvalidLink);
        }
        self.forget_all(user);
        // Whoever reads the person's mail is the person: what others tried no longer stands against them.
        let subjects = self.subjects(Attempt::SignIn, &email, None);
        self.parts.attempts.succeeded(&subjects).await?;
        Ok(email)
    }

    async fn read_reset(&self, token: &str) -> Result<(Account, i32), AccountError> {
        let (id, number) = self
            .parts
            .links
            .read(LinkPurpose::PasswordReset, token)
            .ok_or(AccountError::InvalidLink)?;
        let account = self.store().account(UserId::from_uuid(id)).await?;
        let is_good = |it: &Account| {
            it.reset.0 == number && it.reset.1.is_some_and(|until| until > self.now())
        };
        account.filter(is_good).map(|it| (it, number)).ok_or(AccountError::InvalidLink)
    }
}

/// The letter that tells a person that their password was changed.
fn notice(account: &Account, org: plinth_core::OrgId, at: Timestamp) -> Message {
    let to = LetterTo::Address(account.user.email.as_str().to_owned());
    Message::mail(org, at, &to, &Letter::PasswordChanged { at })
}
