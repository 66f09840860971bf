/// A text that is not an id of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not {expected}")]
pub struct InvalidId {
    /// The shape that was expected, like "an id like `conn_018f…`".
    pub expected: &'static str,
}

/// Declares a typed `UUIDv7` identifier, so that one kind of id cannot be passed for another.
///
/// With a prefix (`"conn"`) its text form is the prefix, an underscore and 32 lower-case hex digits; without one it is
/// the usual hyphenated UUID.
#[macro_export]
macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $crate::typed_id!(@type $(#[$doc])* $name);

        impl $name {
            const HEAD: &str = concat!($prefix, "_");

            /// Gives its text in one piece: as a text of its own it is given its room once, and nothing formats what is put
            /// into an answer.
            fn with_text<T>(self, take: impl FnOnce(&str) -> T) -> T {
                let mut text = [0; Self::HEAD.len() + 32];
                text[..Self::HEAD.len()].copy_from_slice(Self::HEAD.as_bytes());
                self.0.as_simple().encode_lower(&mut text[Self::HEAD.len()..]);
                take(std::str::from_utf8(&text).expect("a prefix and digits"))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let invalid = $crate::InvalidId { expected: concat!("an id like `", $prefix, "_018f3a…`") };
                let hex = text.strip_prefix(concat!($prefix, "_")).ok_or_else(|| invalid.clone())?;
                // The canonical form only: one thing has one name in logs and caches.
                if hex.len() != 32 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                    return Err(invalid);
                }
                $crate::__private::uuid::Uuid::try_parse(hex).map(Self).map_err(|_| invalid)
            }
        }
    };
    ($(#[$doc:meta])* $name:ident) => {
        $crate::typed_id!(@type $(#[$doc])* $name);

        impl $name {
            fn with_text<T>(self, take: impl FnOnce(&str) -> T) -> T {
                take(self.0.as_hyphenated().encode_lower(&mut $crate::__private::uuid::Uuid::encode_buffer()))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::__private::uuid::Uuid::try_parse(text)
                    .map(Self)
                    .map_err(|_| $crate::InvalidId { expected: "a UUID" })
            }
        }
    };
    (@type $(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name($crate::__private::uuid::Uuid);

        impl $name {
            /// Makes an id whose leading bits are `at`, so that ids sort by creation time.
            pub fn new(at: jiff::Timestamp) -> Self {
                let secs = u64::try_from(at.as_second()).unwrap_or_default();
                let nanos = u32::try_from(at.subsec_nanosecond()).unwrap_or_default();
                let ctx = $crate::__private::uuid::NoContext;
                Self($crate::__private::uuid::Uuid::new_v7(
                    $crate::__private::uuid::Timestamp::from_unix(ctx, secs, nanos),
                ))
            }

            /// The untyped id, for adapters only.
            pub fn as_uuid(self) -> $crate::__private::uuid::Uuid {
                self.0
            }

            /// Restores an id that an adapter read back.
            pub fn from_uuid(id: $crate::__private::uuid::Uuid) -> Self {
                Self(id)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.with_text(|it| f.write_str(it))
            }
        }

        impl $crate::__private::serde::Serialize for $name {
            fn serialize<S: $crate::__private::serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                self.with_text(|it| to.serialize_str(it))
            }
        }

        impl<'de> $crate::__private::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::__private::serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as $crate::__private::serde::Deserialize>::deserialize(from)?;
                text.parse().map_err($crate::__private::serde::de::Error::custom)
            }
        }
    };
}

typed_id! {
    /// Identifies an organization: the tenant to whom rows belong.
    OrgId
}
typed_id! {
    /// Identifies a person.
    UserId, "user"
}
typed_id! {
    /// Identifies an API key; not a secret.
    KeyId, "key"
}
typed_id! {
    /// Identifies a sign-in, or what a person granted to an app; not a secret.
    SessionId, "sess"
}
typed_id! {
    /// Identifies a third-party app; it is the app's OAuth client id.
    AppId, "app"
}
typed_id! {
    /// Identifies an organization's identity provider.
    ProviderId, "idp"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_reads_back_from_its_text(bits: u128) {
            let id = UserId::from_uuid(uuid::Uuid::from_u128(bits));
            prop_assert_eq!(id.to_string().parse::<UserId>(), Ok(id));
            let org = OrgId::from_uuid(uuid::Uuid::from_u128(bits));
            prop_assert_eq!(org.to_string().parse::<OrgId>(), Ok(org));
        }

        #[test]
        fn whatever_parses_prints_the_same(text in "user_[0-9a-fA-F-]{30,36}") {
            if let Ok(id) = text.parse::<UserId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn one_kind_is_not_taken_for_another() {
        let key = KeyId::new(jiff::Timestamp::UNIX_EPOCH);
        assert!(key.to_string().parse::<UserId>().is_err());
    }
}
