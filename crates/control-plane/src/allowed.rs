use std::net::IpAddr;

use serde_json::Value;

use crate::ControlPlaneError;

/// Addresses from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    first: u128,
    last: u128,
    is_v4: bool,
}

impl AddressRange {
    /// Reads an address, a network like `192.0.2.0/24`, or a range like `192.0.2.1-192.0.2.9`.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some((first, last)) = text.split_once('-') {
            let (first, last) = (number(first.trim())?, number(last.trim())?);
            let fits = first.1 == last.1 && first.0 <= last.0;
            return fits.then_some(Self { first: first.0, last: last.0, is_v4: first.1 });
        }
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let (address, is_v4) = number(address)?;
        let bits = if is_v4 { 32 } else { 128 };
        let free = bits - length.unwrap_or(bits).min(bits);
        if length.is_some_and(|it| it > bits) {
            return None;
        }
        let mask = if free == 128 { u128::MAX } else { (1_u128 << free) - 1 };
        Some(Self { first: address & !mask, last: address | mask, is_v4 })
    }

    /// Whether an address is among them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (address, is_v4) = bits_of(address);
        is_v4 == self.is_v4 && (self.first..=self.last).contains(&address)
    }
}

fn number(text: &str) -> Option<(u128, bool)> {
    text.parse().ok().map(bits_of)
}

/// One that is written as IPv6 but is of IPv4 counts as that.
fn bits_of(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(it) => (u128::from(it.to_bits()), true),
        IpAddr::V6(it) => (it.to_bits(), false),
    }
}

/// Who may reach a branch by a project's settings; empty for everybody.
///
/// What cannot be read lets nobody in that is not named otherwise: it was checked when it was set.
pub(crate) fn allowed(settings: &Value, is_protected: bool) -> Option<Vec<AddressRange>> {
    let allowed = &settings["allowed_ips"];
    if allowed["protected_branches_only"] == true && !is_protected {
        return None;
    }
    let ips = allowed["ips"].as_array().filter(|it| !it.is_empty())?;
    Some(ips.iter().filter_map(|it| AddressRange::parse(it.as_str()?)).collect())
}

/// Whether Plinth does what a project's settings ask for.
///
/// # Errors
///
/// [`ControlPlaneError::Invalid`] for addresses that cannot be read, and for what is not done here.
pub(crate) fn check_settings(settings: &Value) -> Result<(), ControlPlaneError> {
    let refuse = |field, reason: &str| Err(ControlPlaneError::invalid(field, reason));
    let allowed = &settings["allowed_ips"];
    if let Some(ips) = allowed.get("ips").filter(|it| !it.is_null()) {
        let is_read = |it: &Value| it.as_str().is_some_and(|it| AddressRange::parse(it).is_some());
        if !ips.as_array().is_some_and(|it| it.len() <= 1000 && it.iter().all(is_read)) {
            let rule = "must be at most 1000 addresses, networks like 192.0.2.0/24, or ranges like 192.0.2.1-192.0.2.9";
            return refuse("allowed_ips", rule);
        }
    }
    let only = &allowed["protected_branches_only"];
    if !(only.is_null() || only.is_boolean()) {
        return refuse("protected_branches_only", "must be true or false");
    }
    let has_quota = |it: &Value| it.as_i64().is_some_and(|it| it > 0);
    if settings["quota"].as_object().is_some_and(|it| it.values().any(has_quota)) {
        return refuse("quota", "quotas are not kept on this installation");
    }
    for field in ["block_public_connections", "enable_logical_replication", "hipaa"] {
        if settings[field] == true {
            return refuse(field, "is not available on this installation");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_networks_and_ranges_are_told_apart() {
        let has = |range: &str, address: &str| {
            AddressRange::parse(range).unwrap().contains(address.parse().unwrap())
        };
        for (range, inside, outside) in [
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.77/24", "192.0.2.0", "192.0.1.255"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("192.0.2.1-192.0.2.9", "192.0.2.9", "192.0.2.10"),
            ("2001:db8::/32", "2001:db8::1", "2001:db9::1"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
            ("192.0.2.7", "::ffff:192.0.2.7", "::7"),
        ] {
            assert!(has(range, inside) && !has(range, outside), "{range}");
        }
        for no in [
            "",
            "x",
            "192.0.2.0/33",
            "::/129",
            "192.0.2.9-192.0.2.1",
            "192.0.2.1-::1",
            "192.0.2.0/-1",
        ] {
            assert_eq!(AddressRange::parse(no), None, "{no}");
        }
    }

    #[test]
    fn what_is_not_done_here_is_refused() {
        for good in [
            json!({}),
            json!({ "allowed_ips": { "ips": [] } }),
            json!({ "allowed_ips": { "ips": ["192.0.2.0/24"], "protected_branches_only": true } }),
            json!({ "quota": { "logical_size_bytes": 0 }, "hipaa": false }),
        ] {
            assert!(check_settings(&good).is_ok(), "{good}");
        }
        for bad in [
            json!({ "allowed_ips": { "ips": ["everybody"] } }),
            json!({ "allowed_ips": { "ips": "192.0.2.1" } }),
            json!({ "quota": { "active_time_seconds": 60 } }),
            json!({ "block_public_connections": true }),
        ] {
            assert!(check_settings(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_list_for_protected_branches_binds_no_others() {
        let settings =
            json!({ "allowed_ips": { "ips": ["192.0.2.1"], "protected_branches_only": true } });
        assert_eq!(allowed(&settings, false), None);
        assert_eq!(allowed(&settings, true).unwrap().len(), 1);
        assert_eq!(allowed(&json!({ "allowed_ips": { "ips": [] } }), true), None);
    }
}
