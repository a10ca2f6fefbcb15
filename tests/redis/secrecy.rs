//! What somebody learns who can read all of the Redis.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tower_partner_auth::partner::USE_CASES;
use tower_partner_auth::store::{RedisStore, SharedStore};

use super::fleet::{Fleet, Process, assert_ok};

/// Routes of different scopes.
const PATHS: [&str; 3] =
    ["/api/v1/merchants/8391017", "/api/v1/merchants/8391017/credential", "/payment-links"];

/// That none of the words is in the bytes.
#[track_caller]
fn assert_tells_nothing(what: &str, bytes: &[u8], words: &[String]) {
    for word in words {
        let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
        assert!(!found, "{word:?} is in {what}: {}", String::from_utf8_lossy(bytes));
    }
}

/// All that must not be told.
async fn secrets(fleet: &Fleet, tokens: Vec<String>) -> Vec<String> {
    let credentials = fleet.sandbox.credentials();
    let mut words = tokens;
    words.push(credentials.client_id().to_owned());
    words.push(credentials.client_secret().await.unwrap().to_string());
    words.extend(USE_CASES.iter().flat_map(|row| row.scope.split(' ')).map(str::to_owned));
    words.push(fleet.sandbox.origin().trim_start_matches("http://").to_owned());
    words.push("access_token".to_owned());
    words.push("Bearer".to_owned());
    words
}

async fn call_paths(process: &Process, tokens: &mut Vec<String>) {
    for path in PATHS {
        assert_ok(&[process.call_path(path).await]);
        tokens.push(process.token());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn nothing_that_is_kept_or_sent_tells_a_token_a_scope_or_a_client() {
    // Given
    let fleet = Fleet::start().await;
    let mut monitor = TcpStream::connect(("127.0.0.1", fleet.redis.port())).unwrap();
    monitor.write_all(b"MONITOR\r\n").unwrap();
    let mut monitor = BufReader::new(monitor);
    let mut line = String::new();
    monitor.read_line(&mut line).unwrap();
    assert_eq!(line, "+OK\r\n");
    let processes = fleet.processes(2);
    // When
    let mut tokens = Vec::new();
    for process in &processes {
        call_paths(process, &mut tokens).await;
    }
    fleet.sandbox.revoke_all();
    for process in &processes {
        call_paths(process, &mut tokens).await;
    }
    assert_eq!(fleet.sandbox.token_requests(), 2 * PATHS.len() as u64);
    // Then
    let secrets = secrets(&fleet, tokens).await;
    let names = fleet.redis.names();
    assert_eq!(names.len(), PATHS.len());
    let mut entries = 0;
    for name in &names {
        assert_tells_nothing("a name", name.as_bytes(), &secrets);
        let kind: String = fleet.redis.ask(&["TYPE", name]);
        assert_eq!(kind, "hash");
        let fields: Vec<Vec<u8>> = fleet.redis.ask(&["HGETALL", name]);
        for pair in fields.chunks(2) {
            entries += usize::from(pair[0] == b"entry");
            assert_tells_nothing("a field", &pair[0], &secrets);
            assert_tells_nothing("a value", &pair[1], &secrets);
        }
        let dump: Vec<u8> = fleet.redis.ask(&["DUMP", name]);
        assert_tells_nothing("a dump", &dump, &secrets);
        let left: i64 = fleet.redis.ask(&["PTTL", name]);
        assert!(left > 0, "it is not kept for ever: {left}");
    }
    assert_eq!(entries, PATHS.len());
    // What came by, up to the end of the test: bytes that are no text are shown as `\x..`, so a word
    // would be seen.
    fleet.redis.tell(&["ECHO", "the end of the test"]);
    let mut seen = Vec::new();
    while !seen.ends_with(b"\"the end of the test\"\r\n") {
        let mut byte = [0];
        monitor.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    let put = seen.windows(7).filter(|window| window == b"EVALSHA").count();
    assert!(put >= 2 * PATHS.len(), "{}", String::from_utf8_lossy(&seen));
    assert_tells_nothing("the traffic", &seen, &secrets);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn no_two_entries_are_alike_and_names_tell_no_more_of_one_fleet_to_another() {
    // Given two fleets for the same token.
    let fleet = Fleet::start().await;
    fleet.sandbox.reuse_tokens(true);
    let one = fleet.process_of(super::fleet::key(1));
    let other = fleet.process_of(super::fleet::key(2));
    // When
    assert_ok(&[one.call().await, other.call().await]);
    // Then
    assert_eq!(one.token(), other.token());
    let names = fleet.redis.names();
    assert_eq!(names.len(), 2);
    let entry = |name: &str| -> Vec<u8> { fleet.redis.ask(&["HGET", name, "entry"]) };
    let (first, second) = (entry(&names[0]), entry(&names[1]));
    let alike = first.iter().zip(&second).filter(|(one, other)| one == other).count();
    assert!(alike < first.len() / 4, "{alike} bytes of {}", first.len());
}

#[tokio::test]
async fn an_error_does_not_repeat_the_password_that_a_server_repeats() {
    // Given a proxy that knows no `HELLO`, and says what came with it
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let refusal = b"-ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'me' 'hunter2' \r\n";
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                while connection.read(&mut [0; 4096]).await.is_ok_and(|length| length > 0) {
                    connection.write_all(&refusal.repeat(4)).await.unwrap();
                }
            });
        }
    });
    let store = RedisStore::connect(format!("redis://me:hunter2@{address}/?protocol=resp3"));
    // When
    let error = store.unwrap().get("name").await.unwrap_err();
    // Then
    let told = format!("{error} {error:?}");
    assert!(told.contains("HELLO"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}
