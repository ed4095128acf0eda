use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tower_sse::decode::{EventReader, Message};
use tower_sse_e2e::example::Example;

use crate::support::{assert_page, events, get_events, get_page, next, send, send_body, text};

#[tokio::test]
async fn page_and_stream_have_one_address() {
    let chat = Chat::start().await;
    assert_page(chat.url("lobby?as=ann"), "tower-sse: chat").await;
    let start = send(get_page(chat.example.url("/"))).await;
    assert_eq!(start.headers()["location"], "/rooms/lobby");
    let first = next(&mut chat.enter("lobby?as=ann").await).await.unwrap();
    assert_eq!(name(&first), "subscribed");
}

#[tokio::test]
async fn message_reaches_all_members() {
    let chat = Chat::start().await;
    let (mut ann, mut bob) = (chat.enter("lobby?as=ann").await, chat.enter("lobby?as=bob").await);
    chat.say("lobby?as=ann", " hello\nyou \n").await;
    for reader in [&mut ann, &mut bob] {
        let (_, line) = next_line(reader).await;
        assert_eq!((&line["from"], &line["text"]), (&json!("ann"), &json!("hello\nyou")));
        assert!(line["at"].as_u64().unwrap() > 1_700_000_000_000, "{line}");
    }
}

#[tokio::test]
async fn new_member_receives_earlier_messages() {
    let chat = Chat::start().await;
    for text in ["one", "two"] {
        chat.say("lobby?as=ann", text).await;
    }
    let mut late = chat.enter("lobby?as=bob").await;
    chat.say("lobby?as=ann", "three").await;
    for text in ["one", "two", "three"] {
        assert_eq!(next_line(&mut late).await.1["text"], text);
    }
}

#[tokio::test]
async fn resuming_page_receives_the_rest_once() {
    let chat = Chat::start().await;
    let mut page = chat.enter("lobby?as=ann").await;
    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        chat.say("lobby?as=bob", text).await;
        ids.push(next_line(&mut page).await.0);
    }
    drop(page);
    // Reloaded, with the id that it stored.
    let mut page = chat.enter(&format!("lobby?as=ann&after={}", ids[0])).await;
    assert_eq!(next_line(&mut page).await.1["text"], "two");
    // Reconnected by the browser, which repeats the address, and has a newer id.
    let again = get_events(chat.url(&format!("lobby?as=ann&after={}", ids[0]))).header("last-event-id", &ids[1]);
    let mut page = events(send(again).await);
    assert_eq!(next_line(&mut page).await.1["text"], "three");
    chat.say("lobby?as=bob", "four").await;
    assert_eq!(next_line(&mut page).await.1["text"], "four");
}

#[tokio::test]
async fn presence_is_sent_when_it_changes() {
    let chat = Chat::start().await;
    let mut ann = chat.enter("lobby?as=ann").await;
    assert_eq!(next_here(&mut ann).await, json!({ "count": 1, "names": ["ann"] }));
    let (bob, bobs_other_tab) = (chat.enter("lobby?as=bob").await, chat.enter("lobby?as=bob").await);
    let _nobody = chat.enter("lobby").await;
    assert_eq!(next_here(&mut ann).await, json!({ "count": 2, "names": ["ann", "bob"] }));
    drop((bob, bobs_other_tab));
    until_here(&mut ann, &["ann"]).await;
}

#[tokio::test]
async fn resuming_member_receives_no_earlier_presence() {
    let chat = Chat::start().await;
    let mut ann = chat.enter("lobby?as=ann").await;
    let first = next_event(&mut ann, "here").await.id().unwrap().as_str().to_owned();
    for name in ["bob", "carol"] {
        let other = chat.enter(&format!("lobby?as={name}")).await;
        until_here(&mut ann, &["ann", name]).await;
        drop(other);
        until_here(&mut ann, &["ann"]).await;
    }
    chat.say("lobby?as=dave", "hello").await;
    let mut back = events(send(get_events(chat.url("lobby?as=ann")).header("last-event-id", first)).await);
    let missed = [next(&mut back).await.unwrap(), next(&mut back).await.unwrap()];
    let mut names = missed.each_ref().map(name);
    names.sort_unstable();
    assert_eq!(names, ["here", "message"], "{missed:?}");
}

#[tokio::test]
async fn rooms_are_independent() {
    let chat = Chat::start().await;
    let (mut here, mut there) = (chat.enter("here?as=ann").await, chat.enter("there?as=bob").await);
    chat.say("there?as=bob", "to there").await;
    chat.say("here?as=ann", "to here").await;
    assert_eq!(next_line(&mut here).await.1["text"], "to here");
    assert_eq!(next_line(&mut there).await.1["text"], "to there");
    assert_eq!(next_here(&mut chat.enter("there").await).await, json!({ "count": 1, "names": ["bob"] }));
}

#[tokio::test]
async fn invalid_message_is_refused_with_a_reason() {
    let chat = Chat::start().await;
    let (long, longer, much) = ("x".repeat(2000), "x".repeat(2001), "x".repeat(20_000));
    let long_name = "a".repeat(31);
    let cases: [(&str, &str, u16, &str); 12] = [
        ("lobby?as=ann", &long, 204, ""),
        ("lobby?as=%C3%A9+%E2%98%83", "a name may have any letters", 204, ""),
        ("lobby?as=ann", "", 400, "the line is empty"),
        ("lobby?as=ann", " \n\t ", 400, "the line is empty"),
        ("lobby?as=ann", &longer, 413, "2,000 characters"),
        ("lobby?as=ann", &much, 413, "length limit exceeded"),
        ("lobby", "x", 400, "a name is required"),
        ("lobby?as=", "x", 400, "a name has 1 to 30 characters"),
        (&format!("lobby?as={long_name}"), "x", 400, "a name has 1 to 30 characters"),
        ("lobby?as=a%0Ab", "x", 400, "a name has 1 to 30 characters"),
        ("lobby?as=a&as=b", "x", 400, "duplicate field"),
        ("Lobby%2F..?as=ann", "x", 400, "a room name has 1 to 40"),
    ];
    for (room, said, status, why) in cases {
        let response = send_body(Request::post(chat.url(room)), said).await;
        assert_eq!(response.status(), status, "{room} {said:.40}");
        let reason = text(response).await;
        assert!(reason.contains(why), "{room} {said:.40}: {reason}");
    }
}

#[tokio::test]
async fn invalid_member_is_refused_with_a_reason() {
    let chat = Chat::start().await;
    let long_room = "a".repeat(41);
    for (room, why) in [
        ("lobby?as=", "a name has 1 to 30 characters"),
        ("lobby?as=a&as=b", "duplicate field"),
        ("Lobby?as=ann", "a room name has 1 to 40"),
        (&long_room, "a room name has 1 to 40"),
    ] {
        let response = send(get_events(chat.url(room))).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{room}");
        let reason = text(response).await;
        assert!(reason.contains(why), "{room}: {reason}");
    }
    assert_eq!(send(get_page(chat.url("Lobby"))).await.status(), StatusCode::BAD_REQUEST);
}

struct Chat {
    example: Example,
}

impl Chat {
    async fn start() -> Self {
        Self { example: Example::start("chat").await.unwrap() }
    }

    fn url(&self, room: &str) -> String {
        self.example.url(&format!("/rooms/{room}"))
    }

    async fn enter(&self, room: &str) -> EventReader<Incoming> {
        events(send(get_events(self.url(room))).await)
    }

    async fn say(&self, room: &str, text: &str) {
        let response = send_body(Request::post(self.url(room)), text).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    }
}

/// Returns the next event of this name.
async fn next_event(reader: &mut EventReader<Incoming>, name: &str) -> Message {
    loop {
        let event = next(reader).await.expect("the stream continues");
        assert_ne!(self::name(&event), "gap");
        if self::name(&event) == name {
            return event;
        }
    }
}

fn name(event: &Message) -> &str {
    event.name().map_or("message", |name| name.as_str())
}

/// Returns the id and the line.
async fn next_line(reader: &mut EventReader<Incoming>) -> (String, Value) {
    let event = next_event(reader, "message").await;
    (event.id().unwrap().as_str().to_owned(), serde_json::from_str(event.data()).unwrap())
}

async fn next_here(reader: &mut EventReader<Incoming>) -> Value {
    serde_json::from_str(next_event(reader, "here").await.data()).unwrap()
}

/// Reads until these names are present. Simultaneous arrivals may be published one after the other.
async fn until_here(reader: &mut EventReader<Incoming>, names: &[&str]) {
    while next_here(reader).await["names"] != json!(names) {}
}
