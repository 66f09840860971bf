//! Links that show a dashboard to whoever has them. A link's token is made from ids and a key, and kept nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use plinth_core::{Attribute, OrgId, UserId};
use plinth_queries::QueryId;
use plinth_queries::policies::Narrowing;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::Sha256;
use uuid::Uuid;

use crate::{DashboardId, ShareId, Widget, WidgetId};

/// For whom a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShareKind {
    /// For people who open it.
    Link,
    /// For a page that shows it to its own people, each with values of their own that they cannot change.
    Embed,
}

impl ShareKind {
    /// Its name in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Embed => "embed",
        }
    }
}

/// A link to a dashboard.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// Its id.
    pub id: ShareId,
    /// Whose.
    pub org: OrgId,
    /// Which dashboard it shows.
    pub dashboard: DashboardId,
    /// For whom it is.
    pub kind: ShareKind,
    /// Up to 200 characters.
    pub name: String,
    /// Who made it: it works as long as they may look.
    pub by: UserId,
    /// Values of the dashboard's filters that nobody changes.
    pub locked: Map<String, Value>,
    /// Filters that whoever looks may choose; all others stay at their defaults.
    pub open: Vec<String>,
    /// Attributes with which policies are asked that read them, beside what binds whoever a widget runs as.
    pub attributes: BTreeMap<String, Attribute>,
    /// Which widgets the locked values reached when it was made, and how; `None` if nobody noted it.
    pub reach: Option<Vec<Reach>>,
    /// When it stops working.
    pub expires_at: Timestamp,
    /// Since when it does not work any more.
    pub revoked_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Share {
    /// Whether it works at that moment, as far as it is its own to say.
    pub fn works_at(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }

    /// What its attributes let through of a widget: each that reached it when the link was made has to reach it. One that was not
    /// there, or asks something else now, every one of them has to reach. `None` if it carries none.
    pub(crate) fn narrowing(&self, widget: &Widget) -> Option<Arc<Narrowing>> {
        if self.attributes.is_empty() {
            return None;
        }
        let noted = self.reach.iter().flatten();
        let noted =
            noted.into_iter().find(|it| it.widget == widget.id && Some(it.query) == widget.query);
        let must = noted.and_then(|it| it.attributes.clone());
        let must = must.unwrap_or_else(|| self.attributes.keys().cloned().collect());
        Some(Arc::new(Narrowing { by: self.by, attributes: self.attributes.clone(), must }))
    }

    /// Whether it shows a widget: never with more than its locked values let through when it was made. A widget that was
    /// there takes them as it did; one that was not, or asks something else now, takes every one of them.
    pub fn shows(&self, widget: &Widget) -> bool {
        let Some(query) = widget.query else { return true };
        let noted = self.reach.iter().flatten();
        let noted = noted.into_iter().find(|it| it.widget == widget.id && it.query == query);
        match noted {
            Some(it) => it.taken.iter().all(|(parameter, filter)| {
                widget.filters.get(parameter).is_some_and(|it| it == filter)
            }),
            None => bounds(&self.locked)
                .all(|name| widget.filters.values().any(|filter| filter == name)),
        }
    }
}

/// The filters whose locked values bound anything; null leaves the query its own default.
fn bounds(locked: &Map<String, Value>) -> impl Iterator<Item = &String> {
    locked.iter().filter(|it| !it.1.is_null()).map(|it| it.0)
}

/// How locked values reached a widget when a link was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// The widget.
    pub widget: WidgetId,
    /// What it asked.
    pub query: QueryId,
    /// The locked filters by the parameters of its query that took their values; empty if it took none.
    pub taken: BTreeMap<String, String>,
    /// The link's attributes with which its statement was asked; `None` if that was not known: then every one counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<BTreeSet<String>>,
}

impl Reach {
    /// How these values reach widgets as they are.
    pub(crate) fn of(widgets: &[Widget], locked: &Map<String, Value>) -> Vec<Self> {
        let reach = |it: &Widget| {
            let taken = it.filters.iter().filter(|it| bounds(locked).any(|name| name == it.1));
            let taken = taken.map(|(parameter, filter)| (parameter.clone(), filter.clone()));
            Some(Self { widget: it.id, query: it.query?, taken: taken.collect(), attributes: None })
        };
        widgets.iter().filter_map(reach).collect()
    }
}

/// What is needed to make a link.
#[derive(Clone, Debug)]
pub struct NewShare {
    /// See [`Share::kind`].
    pub kind: ShareKind,
    /// See [`Share::name`].
    pub name: String,
    /// For how long it works; `None` for thirty days.
    pub expires_in: Option<SignedDuration>,
    /// See [`Share::locked`].
    pub locked: Map<String, Value>,
    /// See [`Share::open`].
    pub open: Vec<String>,
    /// See [`Share::attributes`].
    pub attributes: BTreeMap<String, Attribute>,
}

const TAG: usize = 16;
const SIGNED: usize = 16 + 16 + 8;

/// Makes and reads the tokens of links.
#[derive(Clone)]
pub struct ShareKey(Hmac<Sha256>);

impl std::fmt::Debug for ShareKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShareKey")
    }
}

impl ShareKey {
    /// A key made from secret bytes; every server of one installation uses the same.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(Hmac::new_from_slice(&secret).expect("HMAC takes keys of any length"))
    }

    fn mac(&self, signed: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(b"link to a dashboard\0");
        mac.update(signed);
        mac
    }

    /// The token of a link: whose it is, which, until when; and that it was made here.
    pub fn token(&self, share: &Share) -> SecretString {
        let mut bytes = share.org.as_uuid().as_bytes().to_vec();
        bytes.extend(share.id.as_uuid().as_bytes());
        bytes.extend(share.expires_at.as_second().to_be_bytes());
        let tag: [u8; 32] = self.mac(&bytes).finalize().into_bytes().into();
        bytes.extend(&tag[..TAG]);
        URL_SAFE_NO_PAD.encode(bytes).into()
    }

    /// Which link a token is of; `None` for one that this key did not make, or whose time is over.
    pub fn read(&self, token: &str, now: Timestamp) -> Option<(OrgId, ShareId)> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok().filter(|it| it.len() == SIGNED + TAG)?;
        let (signed, tag) = bytes.split_at(SIGNED);
        self.mac(signed).verify_truncated_left(tag).ok()?;
        let org = OrgId::from_uuid(Uuid::from_slice(&signed[..16]).ok()?);
        let id = ShareId::from_uuid(Uuid::from_slice(&signed[16..32]).ok()?);
        let until = i64::from_be_bytes(signed[32..].try_into().ok()?);
        (now.as_second() < until).then_some((org, id))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn share(at: Timestamp) -> Share {
        Share {
            id: ShareId::new(at),
            org: OrgId::new(at),
            dashboard: DashboardId::new(at),
            kind: ShareKind::Link,
            name: String::new(),
            by: UserId::new(at),
            locked: Map::new(),
            open: Vec::new(),
            attributes: BTreeMap::new(),
            reach: None,
            expires_at: at + SignedDuration::from_hours(1),
            revoked_at: None,
            created_at: at,
        }
    }

    #[test]
    fn a_token_reads_back_until_its_time_is_over() {
        let at: Timestamp = "2026-03-04T05:06:07Z".parse().unwrap();
        let key = ShareKey::new([7; 32]);
        let share = share(at);
        let token = key.token(&share).expose_secret().to_owned();
        assert_eq!(key.read(&token, at), Some((share.org, share.id)));
        assert_eq!(key.read(&token, share.expires_at), None);
        assert_eq!(ShareKey::new([8; 32]).read(&token, at), None, "another installation");
    }

    #[test]
    fn a_token_that_is_changed_anywhere_is_none() {
        let at: Timestamp = "2026-03-04T05:06:07Z".parse().unwrap();
        let key = ShareKey::new([7; 32]);
        let token = key.token(&share(at)).expose_secret().to_owned();
        for place in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            // The last letter of a token holds bits that mean nothing; a strict decoder refuses those that differ.
            assert_eq!(key.read(&changed, at), None, "{place}");
        }
        for other in ["", "AAAA", &token[1..], &format!("{token}A")] {
            assert_eq!(key.read(other, at), None);
        }
    }

    fn widget(at: Timestamp, filters: &[(&str, &str)]) -> Widget {
        let filters = filters
            .iter()
            .map(|(parameter, filter)| ((*parameter).to_owned(), (*filter).to_owned()));
        Widget {
            id: WidgetId::new(at),
            kind: plinth_charts::Kind::Table,
            title: String::new(),
            owner: None,
            paused_at: None,
            version: None,
            query: Some(QueryId::new(at)),
            parameters: Map::new(),
            filters: filters.collect(),
            position: crate::Position { x: 0, y: 0, w: 1, h: 1 },
            options: Value::Null,
            max_age_seconds: None,
        }
    }

    #[test]
    fn a_locked_value_that_reaches_a_widget_no_more_withholds_it() {
        let at: Timestamp = "2026-03-04T05:06:07Z".parse().unwrap();
        let both = widget(at, &[("land", "country"), ("since", "from"), ("until", "to")]);
        let (one, none) = (widget(at, &[("land", "country")]), widget(at, &[]));
        let locked = serde_json::json!({ "country": "Mali", "from": 2026, "to": null });
        let locked = locked.as_object().unwrap().clone();
        let reach = Reach::of(&[both.clone(), one.clone(), none.clone()], &locked);
        let link = Share { reach: Some(reach), locked, ..share(at) };
        for it in [&both, &one, &none] {
            assert!(link.shows(it), "as it was made");
        }
        let with = |it: &Widget, filters: &[(&str, &str)]| Widget {
            filters: widget(at, filters).filters,
            ..it.clone()
        };
        assert!(
            link.shows(&with(&both, &[("land", "country"), ("since", "from")])),
            "null bounds nothing"
        );
        assert!(!link.shows(&with(&both, &[("since", "from")])));
        assert!(!link.shows(&with(&one, &[])));
        assert!(!link.shows(&with(&one, &[("name", "country")])), "into another parameter");
        assert!(!link.shows(&with(&one, &[("land", "region")])), "from another filter");
        assert!(link.shows(&with(&none, &[("land", "region")])));
        // What was not there, or asks something else, is shown only under all that is locked.
        for new in [
            widget(at, &[("a", "country")]),
            Widget { query: Some(QueryId::new(at)), ..one.clone() },
        ] {
            assert!(!link.shows(&new));
            assert!(link.shows(&with(&new, &[("a", "country"), ("b", "from")])));
        }
        let old = Share { reach: None, ..link.clone() };
        assert!(old.shows(&both) && !old.shows(&one) && !old.shows(&none), "nobody noted it");
        let text = Widget { query: None, ..none };
        assert!(link.shows(&text) && old.shows(&text));
        let open = Share { locked: Map::new(), reach: Some(Vec::new()), ..link };
        assert!(open.shows(&one), "it locks nothing");
    }

    #[test]
    fn attributes_that_reached_a_widget_have_to_reach_it_and_another_takes_all() {
        let at: Timestamp = "2026-03-04T05:06:07Z".parse().unwrap();
        let (one, none) = (widget(at, &[]), widget(at, &[]));
        let of = |it: &Widget, reached: Option<&[&str]>| Reach {
            widget: it.id,
            query: it.query.unwrap(),
            taken: BTreeMap::new(),
            attributes: reached.map(|it| it.iter().map(|it| (*it).to_owned()).collect()),
        };
        let values = ["country", "team"];
        let link = Share {
            attributes: values.map(|it| (it.to_owned(), Attribute::text("x"))).into(),
            reach: Some(vec![of(&one, Some(&["team"])), of(&none, Some(&[]))]),
            ..share(at)
        };
        let must = |link: &Share, it: &Widget| {
            link.narrowing(it).unwrap().must.iter().cloned().collect::<Vec<_>>()
        };
        assert_eq!(must(&link, &one), ["team"]);
        assert!(must(&link, &none).is_empty());
        let other = Widget { query: Some(QueryId::new(at)), ..one.clone() };
        assert_eq!(must(&link, &other), values, "it asks something else");
        assert_eq!(must(&link, &widget(at, &[])), values, "it was not there");
        let unknown = Share { reach: Some(vec![of(&one, None)]), ..link };
        assert_eq!(must(&unknown, &one), values);
        assert_eq!(share(at).narrowing(&one), None);
    }
}
