//! Visitors' IP addresses are never written, neither to disk nor to logs.

use std::net::IpAddr;

use crate::harness::{Options, address_in, address_v6_in, agents};

/// The ways in which an address could be written.
fn forms(address: IpAddr) -> Vec<Vec<u8>> {
    let text = address.to_string().into_bytes();
    match address {
        IpAddr::V4(v4) => {
            let mut turned = v4.octets();
            turned.reverse();
            vec![
                text,
                v4.octets().to_vec(),
                turned.to_vec(),
                v4.to_ipv6_mapped().to_string().into_bytes(),
            ]
        }
        IpAddr::V6(v6) => {
            let mut turned = v6.octets();
            turned.reverse();
            vec![text, v6.octets().to_vec(), turned.to_vec()]
        }
    }
}

fn holds(bytes: &[u8], form: &[u8]) -> bool {
    bytes.windows(form.len()).any(|window| window == form)
}

#[test]
fn addresses_are_written_nowhere() {
    let server = Options::new().behind_proxy().flag("--log", "trace").start();
    server.await_analytics();
    let (data, link) = (server.data.clone(), server.link());
    let addresses: [IpAddr; 2] = [address_in("DE").into(), address_v6_in("FR").into()];
    for address in addresses {
        for agent in [agents::CHROME_ON_WINDOWS, agents::GOOGLEBOT] {
            server.visit(&link).agent(agent).from(address).send().expect(302);
            server.visit_path("/no-such-link").agent(agent).from(address).send().expect(404);
        }
        server.visit(&link).header("forwarded", format!("for=\"[{address}]\"")).send().expect(302);
    }
    server.await_projection();
    assert_eq!(server.clicks_of(&link, "include"), 6);
    let log = server.stop_for_log();
    let wrote = |form: &[u8]| {
        let lines = log.iter().map(|line| ("the log".to_owned(), line.as_bytes()));
        lines.filter(|(_, bytes)| holds(bytes, form)).map(|(place, _)| place).next()
    };
    let files = data.files();
    for address in addresses {
        // Four bytes are in a megabyte of data by chance now and then: they are looked for
        // where slugline itself writes.
        for form in forms(address) {
            assert_eq!(wrote(&form), None, "{address} is in the log");
            for (path, bytes) in &files {
                let is_engines = path.components().any(|part| part.as_os_str() == "clickhouse");
                let is_telling = form.len() > 4 || !is_engines;
                assert!(!(is_telling && holds(bytes, &form)), "{address} is in {}", path.display());
            }
        }
    }
    assert!(log.len() > 20, "the log was looked at");
}
