//! Which columns are better not looked at: neither sampled nor searched for words of a question.
//!
//! A name or a comment can only hint at what a column holds, so values are looked at as well before any is kept. The
//! price of a wrong guess is small: a question about such a column still finds it by its name.

/// Words in a column's name that speak of secrets, or of what identifies a person and would never be a category.
const WORDS: &[&str] = &[
    "auth",
    "authorization",
    "bearer",
    "bic",
    "biometric",
    "card",
    "cardnumber",
    "certificate",
    "cookie",
    "credential",
    "credentials",
    "cvc",
    "cvv",
    "cvv2",
    "digest",
    "dob",
    "email",
    "emails",
    "encrypted",
    "fax",
    "fingerprint",
    "hash",
    "hashed",
    "hmac",
    "iban",
    "imei",
    "ip",
    "ipaddress",
    "jwt",
    "mail",
    "mac",
    "md5",
    "mobile",
    "mrn",
    "nonce",
    "otp",
    "pan",
    "passcode",
    "passphrase",
    "passport",
    "passwd",
    "password",
    "passwords",
    "phone",
    "pin",
    "private",
    "pwd",
    "recovery",
    "salt",
    "secret",
    "secrets",
    "seed",
    "sha1",
    "sha256",
    "signature",
    "sin",
    "ssn",
    "swift",
    "telephone",
    "token",
    "tokens",
    "totp",
    "url",
    "uri",
    "webhook",
];

/// Two words after each other that do.
const PAIRS: &[(&str, &str)] = &[
    ("access", "key"),
    ("account", "number"),
    ("api", "key"),
    ("e", "mail"),
    ("encryption", "key"),
    ("license", "number"),
    ("licence", "number"),
    ("national", "id"),
    ("pass", "phrase"),
    ("private", "key"),
    ("secret", "key"),
    ("session", "id"),
    ("security", "answer"),
    ("social", "security"),
    ("ssh", "key"),
    ("tax", "id"),
    ("tax", "number"),
    ("user", "agent"),
    ("vat", "number"),
];

/// Words that speak of where a person lives when they end a name: `city_of_address` is a city.
const LAST_WORDS: &[&str] = &["address", "address1", "address2", "street", "street1", "street2"];

/// A name that ends so tells which sort of secret it is, not the secret: `card_brand`.
const SORTS: &[&str] = &[
    "brand", "category", "country", "currency", "kind", "language", "method", "network",
    "provider", "state", "status", "type",
];

/// Words in a comment by which its author asks for care.
const CAREFUL: &[&str] =
    &["confidential", "credential", "encrypted", "password", "pii", "secret", "sensitive", "token"];

/// Whether a column is not to be looked at because of what it is called, or what somebody wrote about it.
pub fn is_secret_name(name: &str, comment: Option<&str>) -> bool {
    let name = words(name);
    let sort = name.last().is_some_and(|it| SORTS.contains(&it.as_str()));
    let last = name.last().is_some_and(|it| LAST_WORDS.contains(&it.as_str()));
    let one = name.iter().any(|it| WORDS.contains(&it.as_str()));
    let pair = name.windows(2).any(|it| PAIRS.contains(&(it[0].as_str(), it[1].as_str())));
    let joined = name.iter().any(|it| PAIRS.iter().any(|(a, b)| *it == format!("{a}{b}")));
    let comment = words(comment.unwrap_or_default());
    (!sort && (last || one || pair || joined))
        || comment.iter().any(|it| CAREFUL.contains(&it.trim_end_matches('s')))
}

/// The words of an identifier, in lower case: `billingAddress_2` is `billing`, `address`, `2`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before_lower = false;
    for it in name.chars() {
        let begins = it.is_uppercase() && before_lower;
        before_lower = it.is_lowercase() || it.is_ascii_digit();
        if !it.is_alphanumeric() || begins {
            words.push(String::new());
        }
        if it.is_alphanumeric() {
            words.last_mut().expect("there is one").extend(it.to_lowercase());
        }
    }
    words.retain(|it| !it.is_empty());
    words
}

/// Whether values look like secrets, identifiers or addresses: more than one in ten does.
pub fn are_secret_values(values: &[String]) -> bool {
    let suspicious = values.iter().filter(|it| is_secret_value(it)).count();
    suspicious * 10 > values.len()
}

/// Whether a value looks like a secret, an identifier or an address.
pub fn is_secret_value(value: &str) -> bool {
    let value = value.trim();
    let has = |test: fn(char) -> bool| value.chars().any(test);
    let digits = value.chars().filter(char::is_ascii_digit).count();
    let spaced = has(char::is_whitespace);

    let mail = !spaced
        && value.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
    let link = value.contains("://");
    // Telephones, cards, accounts: digits with the marks that people put between them. A date or a year is shorter.
    let number =
        digits >= 9 && value.chars().all(|it| it.is_ascii_digit() || " +-./()".contains(it));
    // Country, check digits, then letters and digits in groups of four.
    let compact: String = value.chars().filter(|it| *it != ' ').collect();
    let account = (15..=34).contains(&compact.len())
        && compact.chars().all(|it| it.is_ascii_alphanumeric())
        && compact.as_bytes()[..2].iter().all(u8::is_ascii_uppercase)
        && compact.as_bytes()[2..4].iter().all(u8::is_ascii_digit)
        && digits >= 10;
    // Keys, hashes, UUIDs: long, in one piece, of letters and digits in disorder.
    let opaque = value.len() >= 16 && !spaced && disorder(value) >= 4;
    mail || link || number || account || opaque
}

/// How often letters and digits change places: `a1b2` three times, `invoice-2024` once.
fn disorder(value: &str) -> usize {
    let kinds: Vec<bool> =
        value.chars().filter(char::is_ascii_alphanumeric).map(|it| it.is_ascii_digit()).collect();
    kinds.windows(2).filter(|it| it[0] != it[1]).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_speak_of_secrets_are_left_alone() {
        for name in [
            "password",
            "PasswordHash",
            "user_password",
            "api_key",
            "apiKey",
            "APIKEY",
            "access_token",
            "ssn",
            "card_number",
            "IBAN",
            "customer_email",
            "e_mail",
            "phone",
            "billing_address",
            "street",
            "webhook_url",
            "tax_id",
        ] {
            assert!(is_secret_name(name, None), "{name}");
        }
        for name in [
            "name",
            "status",
            "city",
            "country",
            "title",
            "address_city",
            "shipping_method",
            "key",
            "category",
            "sku",
            "passenger",
            "card_brand",
            "token_type",
        ] {
            assert!(!is_secret_name(name, None), "{name}");
        }
    }

    #[test]
    fn a_comment_can_ask_for_care() {
        assert!(is_secret_name("note", Some("Sensitive: health data")));
        assert!(is_secret_name("value", Some("holds access tokens")));
        assert!(!is_secret_name("value", Some("The name that customers see.")));
    }

    #[test]
    fn values_that_look_like_secrets_are_not_kept() {
        for value in [
            "ann@example.com",
            "https://example.com/a",
            "+49 30 1234567",
            "4111 1111 1111 1111",
            "DE89 3704 0044 0532 0130 00",
            "5f4dcc3b5aa765d61d8327deb882cf99",
            "0190b2c4-7d1e-7c3a-9f00-3a5b6c7d8e9f",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x1y2z3",
        ] {
            assert!(are_secret_values(&[value.to_owned()]), "{value}");
        }
        for value in [
            "Lisbon",
            "SKU-000123",
            "2024-05-01",
            "Blue Ridge Coffee Maker 2000",
            "10115",
            "in_progress",
            "ORD-2024-000017",
        ] {
            assert!(!are_secret_values(&[value.to_owned()]), "{value}");
        }
    }
}
