//! Encoding of the presence of a node.
//!
//! Pure. The length and a colon precede each text and each number: `5:topic1:2...`. For each topic these are its name, the number
//! of streams, the number of members, and the members.

use std::sync::Arc;

use crate::hub::state::members::TopicPresence;

/// Encodes the presence of a node.
pub(super) fn encode(presence: &[TopicPresence]) -> Vec<u8> {
    let mut out = Vec::new();
    for TopicPresence { topic, count, members } in presence {
        put(&mut out, topic);
        put(&mut out, &count.to_string());
        put(&mut out, &members.len().to_string());
        members.iter().for_each(|member| put(&mut out, member));
    }
    out
}

/// Decodes the presence of a node, or returns `None` if no node has encoded it.
pub(super) fn decode(mut bytes: &[u8]) -> Option<Vec<TopicPresence>> {
    let mut presence = Vec::new();
    while !bytes.is_empty() {
        let topic = Arc::from(take(&mut bytes)?);
        // No node has more streams than this, so that a sum over nodes does not overflow.
        let count = take(&mut bytes)?.parse::<u32>().ok().and_then(|count| usize::try_from(count).ok())?;
        let members: usize = take(&mut bytes)?.parse().ok()?;
        let members = (0..members).map(|_| take(&mut bytes).map(Arc::from)).collect::<Option<_>>()?;
        presence.push(TopicPresence { topic, count, members });
    }
    Some(presence)
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(text.as_bytes());
}

fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let colon = bytes.iter().position(|&byte| byte == b':')?;
    let length: usize = std::str::from_utf8(&bytes[..colon]).ok()?.parse().ok()?;
    let (text, rest) = bytes[colon + 1..].split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decode_accepts_what_encode_returns_and_nothing_else() {
        let presence =
            vec![TopicPresence::new("room: 5:\n", 3, vec!["ann".into(), "".into()]), TopicPresence::new("", 1, vec![])];
        let encoded = encode(&presence);
        assert_eq!(decode(&encoded).as_ref(), Some(&presence));
        assert_eq!(decode(b""), Some(vec![]));
        for wrong in
            [&encoded[..encoded.len() - 1], b"x", b"5:a", b"1:a1:x1:0", b"1:a1:19:999999999", b"99999999999999999999:a"]
        {
            assert_eq!(decode(wrong), None);
        }
        assert_eq!(decode(b"1:a20:184467440737095516151:0"), None, "the sum of two of these overflows");
    }
}
