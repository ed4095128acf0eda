//! The errors of a hub keep their sources.

use std::{error::Error, io};

use tower_sse::hub::{Hub, PublishError, SubscribeError, TopicError};

#[test]
fn a_backplane_error_is_the_source_of_a_publish_error() {
    let lost = || io::Error::other("connection lost");
    for error in [PublishError::not_sent(lost()), PublishError::unknown(lost())] {
        let error = error.clone();
        let source = error.source().expect("the error has a source");
        assert_eq!(source.downcast_ref::<io::Error>().map(io::Error::kind), Some(io::ErrorKind::Other));
        assert!(!error.to_string().contains("connection lost"), "a chain of errors would have it twice");
        let (PublishError::NotSent(inner) | PublishError::Unknown(inner)) = &error else { panic!("{error}") };
        assert!(inner.get_ref().is::<io::Error>());
        assert_eq!((inner.to_string(), format!("{inner:?}")), (lost().to_string(), format!("{:?}", lost())));
    }
    assert_eq!(PublishError::not_sent("quota").source().map(ToString::to_string).as_deref(), Some("quota"));
    assert!(PublishError::Pending.source().is_none());
}

#[test]
fn a_topic_error_is_the_source_of_a_subscribe_error() {
    let hub = Hub::builder().max_topics(0).build();
    let error = hub.subscribe("a").unwrap_err();
    let source = error.source().and_then(|source| source.downcast_ref()).map(TopicError::is_full);
    assert_eq!((error.to_string().as_str(), source), ("topic unavailable", Some(true)));
    assert!(SubscribeError::NoTopic.source().is_none());
}
