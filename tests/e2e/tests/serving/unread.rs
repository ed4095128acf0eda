//! Effects of the socket options in `docs/serving.md` on a client that does not read.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{Router, routing::get, serve::ListenerExt};
use futures_util::stream;
use socket2::SockRef;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Instant, sleep},
};
use tower_sse::{
    Event, Events, RequestHead, SseLayer,
    observe::{Closed, Observer, Sent, StreamObserver},
};
use tower_sse_e2e::client::{LIMIT, within};

const LOOKS: usize = 50;

/// An observer that counts the sent bytes, and reports the end.
#[derive(Clone)]
struct Watch {
    bytes: Arc<AtomicU64>,
    ended: mpsc::UnboundedSender<()>,
}

impl Observer for Watch {
    fn opened(&self, _: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        Some(Box::new(self.clone()))
    }
}

impl StreamObserver for Watch {
    fn sent(&mut self, sent: &Sent) {
        self.bytes.fetch_add(sent.bytes, SeqCst);
    }

    fn closed(&mut self, _: &Closed<'_>) {
        let _ = self.ended.send(());
    }
}

/// An endless stream, to a client that does not read.
struct Stalled {
    bytes: Arc<AtomicU64>,
    ended: mpsc::UnboundedReceiver<()>,
    _client: TcpStream,
}

impl Stalled {
    async fn start(tune: impl FnMut(&mut TcpStream) + Send + 'static) -> Self {
        let (ended, receiver) = mpsc::unbounded_channel();
        let watch = Watch { bytes: Arc::default(), ended };
        let bytes = Arc::clone(&watch.bytes);
        let layer = SseLayer::from_fn(|_| async {
            let event = Event::new("x".repeat(1000));
            Events::new(stream::repeat(event))
        });
        let app = Router::new().route("/", get("the page")).layer(layer.observer(watch));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener.tap_io(tune), app.into_make_service()).into_future());
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\naccept: text/event-stream\r\n\r\n").await.unwrap();
        Self { bytes, ended: receiver, _client: client }
    }

    /// Returns the bytes that the server has sent, once they do not grow any more.
    async fn taken(&self) -> u64 {
        let until = Instant::now() + LIMIT;
        let (mut taken, mut same) = (0, 0);
        // A busy machine takes fewer samples in a second.
        while taken == 0 || same < LOOKS {
            assert!(Instant::now() < until, "the server does not stop sending");
            sleep(Duration::from_millis(20)).await;
            let now = self.bytes.load(SeqCst);
            same = if now == taken { same + 1 } else { 0 };
            taken = now;
        }
        taken
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_bytes_in_the_kernel_are_bounded() {
    let as_it_is = Stalled::start(|_| ()).await.taken().await;
    let with_option = Stalled::start(|stream| set(SockRef::from(&*stream).set_tcp_notsent_lowat(16 << 10))).await;
    let with_option = with_option.taken().await;
    println!("to a client that does not read: {as_it_is} bytes, with TCP_NOTSENT_LOWAT {with_option}");
    assert!(with_option < as_it_is / 2, "{with_option} bytes with the option, {as_it_is} without");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_connection_ends_after_tcp_user_timeout() {
    let limit = Duration::from_secs(1);
    let mut stalled =
        Stalled::start(move |stream| set(SockRef::from(&*stream).set_tcp_user_timeout(Some(limit)))).await;
    let begin = Instant::now();
    within(stalled.ended.recv()).await.expect("the end is observed");
    println!("cut {:?} after its request", begin.elapsed());
    assert!(begin.elapsed() >= limit, "cut after {:?}", begin.elapsed());
}

fn set(result: io::Result<()>) {
    result.expect("Linux has it");
}
