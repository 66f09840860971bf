//! Where a request came from, also behind proxies.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, HeaderName};
use plinth_egress::Network;

const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address: the peer's, or if that is a proxy of ours, the last one in `X-Forwarded-For` that is not. What
/// stands before it the client may have written itself.
pub(super) fn client_address(request: &HttpRequest, proxies: &[Network]) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip();
    Some(behind(peer, request.headers(), proxies))
}

fn behind(peer: IpAddr, headers: &HeaderMap, proxies: &[Network]) -> IpAddr {
    let is_ours = |address: IpAddr| proxies.iter().any(|it| it.contains(address));
    if !is_ours(peer) {
        return peer;
    }
    // Several headers are one list (RFC 9110, 5.3).
    let lines: Vec<_> = headers.get_all(FORWARDED).collect();
    let hops = lines.iter().rev().flat_map(|it| it.to_str().unwrap_or("?").rsplit(','));
    let mut nearest = peer;
    for hop in hops {
        // What cannot be read ends what can be believed.
        let Some(address) = read(hop.trim()) else { break };
        nearest = address;
        if !is_ours(address) {
            break;
        }
    }
    nearest
}

/// An address, as some proxies write it also with a port or in brackets.
fn read(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|it| it.split(']').next());
    let address = hop.parse().ok().or_else(|| bare?.parse().ok());
    let address: IpAddr =
        address.or_else(|| Some(hop.parse::<std::net::SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn address(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED, HeaderValue::from_str(line).expect("a header"));
        }
        let proxies = ["10.0.0.0/8", "::1/128"].map(|it| it.parse().expect("a network"));
        behind(peer.parse().expect("an address"), &headers, &proxies).to_string()
    }

    #[test]
    fn only_our_own_proxies_are_believed() {
        assert_eq!(address("203.0.113.7", &["198.51.100.1"]), "203.0.113.7");
        assert_eq!(address("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(
            address("10.0.0.1", &["192.0.2.9, 198.51.100.1"]),
            "198.51.100.1",
            "the first is the client's word"
        );
        assert_eq!(address("10.0.0.1", &["198.51.100.1, 10.0.0.2"]), "198.51.100.1", "two proxies");
        assert_eq!(address("::1", &["198.51.100.1", "10.0.0.2"]), "198.51.100.1", "two headers");
        assert_eq!(address("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &["198.51.100.1, unknown"]), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(address("10.0.0.1", &["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(address("10.0.0.1", &["::ffff:198.51.100.1"]), "198.51.100.1");
    }
}
