//! actix-web with the `sse` of actix-web-lab.

use std::{
    collections::HashMap,
    io,
    net::TcpListener,
    sync::{Arc, Mutex, PoisonError},
};

use crate::control::{self, ANY};
use actix_web::{App, HttpServer, Responder, rt, web};
use actix_web_lab::sse::{Data, Event, Sse};

use crate::feed::{self, Feed};

pub fn serve(workers: usize) -> io::Result<()> {
    let (listener, control) = (TcpListener::bind(ANY)?, TcpListener::bind(ANY)?);
    control::announce(listener.local_addr()?, control.local_addr()?)?;
    control.set_nonblocking(true)?;
    let feed = Feed::new();
    // Publishing happens in a worker: from another thread each wake would cost another lock.
    let control = Arc::new(Mutex::new(Some(control)));
    let app = move || {
        if let Some(control) = control.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let publisher = feed.publisher();
            rt::spawn(async move {
                let obeyed = control::obey(rt::net::TcpListener::from_std(control)?, publisher).await;
                std::process::exit(i32::from(obeyed.is_err()));
                #[expect(unreachable_code, reason = "the type requires it")]
                io::Result::Ok(())
            });
        }
        App::new()
            .app_data(web::Data::new(feed.clone()))
            .route("/events", web::get().to(events))
            .route("/flood", web::get().to(flood))
            .route("/first", web::get().to(first))
    };
    rt::System::new().block_on(HttpServer::new(app).workers(workers).listen(listener)?.run())
}

async fn events(feed: web::Data<Feed>) -> impl Responder {
    Sse::from_stream(feed.watch(|(number, data)| Event::Data(Data::new(&**data).id(number.to_string()))))
}

async fn flood(query: web::Query<HashMap<String, usize>>) -> impl Responder {
    Sse::from_stream(feed::flood(query.get("size").copied().unwrap_or(64), |data| Event::Data(Data::new(data))))
}

async fn first() -> impl Responder {
    Sse::from_stream(feed::first(Event::Data(Data::new("first").id("0"))))
}
