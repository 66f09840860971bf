use std::fmt;
use std::str::FromStr;

/// A text that is not an id of the API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id has 1 to 60 lower-case letters, digits and dashes")]
pub struct InvalidTextId;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidTextId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                is_id(text).then(|| Self(text.to_owned())).ok_or(InvalidTextId)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidTextId;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

text_id! {
    /// Names a project, like `still-meadow-47437464`.
    ProjectId
}
text_id! {
    /// Names a branch, like `br-cool-king-a1b2c3d4`: clients take exactly three words after `br-` for an id, and all else
    /// for a name.
    BranchId
}
text_id! {
    /// Names an endpoint, like `ep-little-smoke-a1b2c3d4`.
    EndpointId
}

fn is_id(text: &str) -> bool {
    (1..=60).contains(&text.len())
        && text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
}

impl ProjectId {
    /// A new one.
    ///
    /// # Errors
    ///
    /// If the system has no randomness.
    pub fn random() -> Result<Self, getrandom::Error> {
        words(b"0123456789").map(Self)
    }
}

impl BranchId {
    /// A new one.
    ///
    /// # Errors
    ///
    /// If the system has no randomness.
    pub fn random() -> Result<Self, getrandom::Error> {
        words(LETTERS).map(|it| Self(format!("br-{it}")))
    }

    /// A new one for the files of a snapshot, like `snap-quiet-lake-a1b2c3d4`.
    ///
    /// # Errors
    ///
    /// If the system has no randomness.
    pub fn random_snapshot() -> Result<Self, getrandom::Error> {
        words(LETTERS).map(|it| Self(format!("snap-{it}")))
    }
}

impl EndpointId {
    /// A new one.
    ///
    /// # Errors
    ///
    /// If the system has no randomness.
    pub fn random() -> Result<Self, getrandom::Error> {
        words(LETTERS).map(|it| Self(format!("ep-{it}")))
    }
}

/// Without what looks alike.
const LETTERS: &[u8] = b"abcdefghjkmnpqrstvwxyz23456789";

/// Two words and eight characters. They are not guessed one by one: every look-up names its organization too.
fn words(alphabet: &[u8]) -> Result<String, getrandom::Error> {
    let mut bytes = [0_u8; 10];
    getrandom::fill(&mut bytes)?;
    let pick = |list: &[&'static str], at: u8| list[usize::from(at) % list.len()];
    let tail: String = bytes[2..]
        .iter()
        .map(|it| char::from(alphabet[usize::from(*it) % alphabet.len()]))
        .collect();
    Ok(format!("{}-{}-{tail}", pick(&QUALITIES, bytes[0]), pick(&THINGS, bytes[1])))
}

const QUALITIES: [&str; 64] = [
    "amber",
    "ancient",
    "autumn",
    "black",
    "blue",
    "bold",
    "brave",
    "bright",
    "broad",
    "calm",
    "clear",
    "cold",
    "cool",
    "crimson",
    "curly",
    "damp",
    "dawn",
    "deep",
    "dry",
    "early",
    "falling",
    "floral",
    "fragrant",
    "frosty",
    "gentle",
    "green",
    "hidden",
    "holy",
    "icy",
    "jolly",
    "late",
    "little",
    "lively",
    "long",
    "lucky",
    "misty",
    "muddy",
    "noisy",
    "old",
    "orange",
    "patient",
    "plain",
    "polished",
    "proud",
    "purple",
    "quiet",
    "rapid",
    "red",
    "restless",
    "rough",
    "round",
    "shy",
    "silent",
    "small",
    "snowy",
    "soft",
    "solitary",
    "sparkling",
    "spring",
    "still",
    "sweet",
    "twilight",
    "wandering",
    "winter",
];

const THINGS: [&str; 64] = [
    "band",
    "bird",
    "boat",
    "bread",
    "breeze",
    "brook",
    "bush",
    "butterfly",
    "cake",
    "cell",
    "cherry",
    "cloud",
    "credit",
    "dawn",
    "dew",
    "dream",
    "dust",
    "feather",
    "field",
    "fire",
    "firefly",
    "flower",
    "fog",
    "forest",
    "frog",
    "frost",
    "glade",
    "glitter",
    "grass",
    "hall",
    "hat",
    "haze",
    "heart",
    "hill",
    "king",
    "lab",
    "lake",
    "leaf",
    "limit",
    "math",
    "meadow",
    "mode",
    "moon",
    "morning",
    "mountain",
    "mouse",
    "mud",
    "night",
    "paper",
    "pine",
    "poetry",
    "pond",
    "queen",
    "rain",
    "recipe",
    "resonance",
    "rice",
    "river",
    "salad",
    "scene",
    "sea",
    "shadow",
    "shape",
    "smoke",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branchs_id_has_three_words_after_its_prefix() {
        for _ in 0..200 {
            let id = BranchId::random().unwrap().to_string();
            let parts: Vec<_> = id.split('-').collect();
            assert_eq!((parts.len(), parts[0]), (4, "br"), "{id}");
            assert!(parts[1..].iter().all(|it| !it.is_empty()), "{id}");
            assert_eq!(id.parse::<BranchId>().unwrap().as_str(), id);
        }
    }

    #[test]
    fn ids_keep_to_the_pattern() {
        for id in
            [ProjectId::random().unwrap().to_string(), EndpointId::random().unwrap().to_string()]
        {
            assert!(is_id(&id), "{id}");
        }
        for no in ["", "A", "a_b", "a/b", "ä", "../x", &"a".repeat(61)] {
            assert!(no.parse::<ProjectId>().is_err(), "{no}");
        }
    }
}
