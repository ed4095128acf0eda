use crate::server::Server;

/// The error of each variable for an invalid value.
const BAD: &[(&str, &str, &str)] = &[
    ("HOST", "localhost", r#"HOST: takes an address to listen on, and not "localhost""#),
    ("PORT", "70000", r#"PORT: takes a port, 0 for any that is free, and not "70000""#),
    ("LOG", "a=b=c", "LOG: takes a filter, such as `info` or `info,tower_sse=debug`, and not \"a=b=c\""),
    ("SESSION_SECONDS", "0", r#"SESSION_SECONDS: takes whole seconds from 1, and not "0""#),
    ("STREAMS", "-1", r#"STREAMS: takes a number from 1, and not "-1""#),
    ("STREAMS_PER_CLIENT", "0", r#"STREAMS_PER_CLIENT: takes a number from 1, and not "0""#),
    ("OPENS_PER_MINUTE", "0", r#"OPENS_PER_MINUTE: takes a number from 1, and not "0""#),
    ("STREAM_SECONDS", "1h", r#"STREAM_SECONDS: takes whole seconds from 1, and not "1h""#),
    ("ACCESS_SECONDS", "", r#"ACCESS_SECONDS: takes whole seconds from 1, and not """#),
    ("LEAVE_AFTER_SECONDS", "1.5", r#"LEAVE_AFTER_SECONDS: takes whole seconds, and not "1.5""#),
    ("DRAIN_SECONDS", "99999999999", r#"DRAIN_SECONDS: takes whole seconds from 1, and not "99999999999""#),
    ("CONNECTION_SECONDS", "0", r#"CONNECTION_SECONDS: takes whole seconds from 1, and not "0""#),
    ("PROXIES", "0", r#"PROXIES: takes a number from 1, and not "0""#),
    ("POSTS_PER_MINUTE", "0", r#"POSTS_PER_MINUTE: takes a number from 1, and not "0""#),
    ("REQUEST_SECONDS", "-5", r#"REQUEST_SECONDS: takes whole seconds from 1, and not "-5""#),
    ("TLS_OUTSIDE", "maybe", r#"TLS_OUTSIDE: takes `yes` or `no`, and not "maybe""#),
    ("ADDRESS_HEADER", "x real ip", r#"ADDRESS_HEADER: takes the name of the header"#),
];

#[tokio::test]
async fn invalid_setting_is_reported_with_its_format() {
    for &(name, value, says) in BAD {
        let said = Server::refuses(&[(name, value)]).await;
        assert!(said.contains("exit status: 78"), "{said}");
        let said: Vec<_> = said.lines().filter(|line| line.contains(": takes ")).collect();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with(says), "{said:?} instead of {says}");
    }
}

#[tokio::test]
async fn all_invalid_settings_are_reported_together() {
    let settings: Vec<_> = BAD.iter().map(|&(name, value, _)| (name, value)).collect();
    let said = Server::refuses(&settings).await;
    for (name, _, says) in BAD {
        assert!(said.lines().any(|line| line.starts_with(says)), "{name} is not in {said}");
    }
}

#[tokio::test]
async fn secrets_are_not_printed() {
    let said = Server::refuses(&[("COOKIE_KEY", "c0ffee"), ("PASSWORD", "swordfish")]).await;
    let key = "COOKIE_KEY: takes 64 bytes or more in hexadecimal, as from `openssl rand -hex 64`, and not the 6 bytes";
    assert!(said.contains(key), "{said}");
    assert!(
        said.contains("PASSWORD: takes 12 bytes or more, with which all users log in, and not the 9 bytes"),
        "{said}"
    );
    assert!(!said.contains("c0ffee") && !said.contains("swordfish"), "{said}");
}

#[tokio::test]
async fn public_address_requires_secrets() {
    let said = Server::refuses(&[("HOST", "192.0.2.1")]).await;
    for name in ["PASSWORD", "COOKIE_KEY"] {
        assert!(said.contains(&format!("{name}: is not set, and must be where HOST is not loopback")), "{said}");
    }
}

#[tokio::test]
async fn server_listens_on_loopback_by_default() {
    let server = Server::start(&[]).await;
    assert!(server.address.starts_with("127.0.0.1:"), "{}", server.address);
}

#[tokio::test]
async fn address_in_use_is_not_an_invalid_setting() {
    let server = Server::start(&[]).await;
    let (_, port) = server.address.rsplit_once(':').unwrap();
    let said = Server::refuses(&[("PORT", port)]).await;
    assert!(said.contains("exit status: 1\n"), "{said}");
    assert!(said.contains(&format!("cannot listen on 127.0.0.1:{port}: ")), "{said}");
}
