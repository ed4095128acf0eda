//! What a node tells the others of who is on it, as bytes.
//!
//! Pure. Each text and each number is preceded by its length: `5:topic1:2...`.

use std::sync::Arc;

use crate::hub::state::members::TopicPresence;

pub(super) fn encode(presence: &[TopicPresence]) -> Vec<u8> {
    let mut into = Vec::new();
    for TopicPresence { topic, count, members } in presence {
        put(&mut into, topic);
        put(&mut into, &count.to_string());
        put(&mut into, &members.len().to_string());
        members.iter().for_each(|member| put(&mut into, member));
    }
    into
}

/// `None`: nobody has written this.
pub(super) fn decode(mut from: &[u8]) -> Option<Vec<TopicPresence>> {
    let mut presence = Vec::new();
    while !from.is_empty() {
        let topic = Arc::from(take(&mut from)?);
        // More streams than any node can have were written by something else.
        let count = take(&mut from)?.parse::<u32>().ok().and_then(|count| usize::try_from(count).ok())?;
        let members: usize = take(&mut from)?.parse().ok()?;
        let members = (0..members).map(|_| take(&mut from).map(Arc::from)).collect::<Option<_>>()?;
        presence.push(TopicPresence { topic, count, members });
    }
    Some(presence)
}

fn put(into: &mut Vec<u8>, text: &str) {
    into.extend_from_slice(text.len().to_string().as_bytes());
    into.push(b':');
    into.extend_from_slice(text.as_bytes());
}

fn take<'a>(from: &mut &'a [u8]) -> Option<&'a str> {
    let colon = from.iter().position(|&byte| byte == b':')?;
    let length: usize = std::str::from_utf8(&from[..colon]).ok()?.parse().ok()?;
    let (text, rest) = from[colon + 1..].split_at_checked(length)?;
    *from = rest;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood_and_nothing_else() {
        let presence =
            vec![TopicPresence::new("room: 5:\n", 3, vec!["ann".into(), "".into()]), TopicPresence::new("", 1, vec![])];
        let told = encode(&presence);
        assert_eq!(decode(&told).as_ref(), Some(&presence));
        assert_eq!(decode(b""), Some(vec![]));
        for wrong in
            [&told[..told.len() - 1], b"x", b"5:a", b"1:a1:x1:0", b"1:a1:19:999999999", b"99999999999999999999:a"]
        {
            assert_eq!(decode(wrong), None);
        }
        assert_eq!(decode(b"1:a20:184467440737095516151:0"), None, "a sum of two of these is beyond any number");
    }
}
