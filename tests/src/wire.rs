//! A faulty wire: what lies between workers and a coordinator, and loses, holds up or keeps what is to pass.
//!
//! It carries bytes, and reads no more of them than where an answer begins and ends. What it gets right is never the
//! question: who is at its ends has to live with it.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What each frame of HTTP/2 begins with (RFC 9113, section 4.1): its length in three bytes, its kind, and more.
const HEAD: usize = 9;
const KIND: usize = 3;
/// The kind that an answer begins with, and ends with: its headers, and its trailers.
const HEADERS: u8 = 1;

/// What goes wrong for now.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// The chance, 0 to 1, that a connection ends where an answer begins, and again where it ends: what was asked has
    /// been done, and whoever asked never hears of it.
    pub cut: f64,
    /// The chance, 0 to 1, that an answer is held up there, and with it all that comes behind it.
    pub hold: f64,
    /// For how long at most.
    pub hold_for: Duration,
    /// What is asked passes later: when this is over. Connections are taken meanwhile.
    pub requests_wait: bool,
    /// The same of what is answered.
    pub answers_wait: bool,
    /// No connection is taken, and those that stand end.
    pub refuse: bool,
}

impl Faults {
    /// Everything passes.
    pub const NONE: Faults = Faults {
        cut: 0.0,
        hold: 0.0,
        hold_for: Duration::ZERO,
        requests_wait: false,
        answers_wait: false,
        refuse: false,
    };
}

/// What has gone wrong so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answers that were cut off.
    pub cut: u64,
    /// Answers that were held up.
    pub held: u64,
    /// Connections that were not taken.
    pub refused: u64,
    /// Connections and pieces of what was to pass that had to wait.
    pub waited: u64,
}

/// A wire on a port of its own. What it carries ends with it.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    line: Arc<Line>,
    _carrying: JoinSet<()>,
}

#[derive(Debug)]
struct Line {
    /// The coordinator's host and port.
    to: String,
    faults: watch::Sender<Faults>,
    counts: watch::Sender<Counts>,
    random: Mutex<Rng>,
}

/// An answer was cut off: nothing passes any more, either way.
struct Cut;

impl Wire {
    /// A wire to a coordinator's host and port, without a fault as yet. Same seed, same order of what befalls answers.
    pub async fn to(address: &str, seed: u64) -> Wire {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let line = Arc::new(Line {
            to: address.to_owned(),
            faults: watch::Sender::new(Faults::NONE),
            counts: watch::Sender::new(Counts::default()),
            random: Mutex::new(Rng::with_seed(seed)),
        });
        let mut carrying = JoinSet::new();
        carrying.spawn(take(listener, Arc::clone(&line)));
        Wire { port, line, _carrying: carrying }
    }

    /// The coordinator's URL, by this wire.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on this goes wrong.
    pub fn fails(&self, faults: Faults) {
        self.line.faults.send_replace(faults);
    }

    /// Nothing goes wrong any more; what waited passes now.
    pub fn heals(&self) {
        self.fails(Faults::NONE);
    }

    /// What has gone wrong so far.
    pub fn counts(&self) -> Counts {
        *self.line.counts.borrow()
    }

    /// Waits until so much has gone wrong. Bound it with a timeout of your own.
    pub async fn until(&self, done: impl FnMut(&Counts) -> bool) {
        let mut counts = self.line.counts.subscribe();
        // The sender lives as long as the wire.
        let _ = counts.wait_for(done).await;
    }
}

async fn take(listener: TcpListener, line: Arc<Line>) {
    let mut carried = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while carried.try_join_next().is_some() {}
        if line.faults.borrow().refuse {
            line.count(|counts| counts.refused += 1);
            continue;
        }
        carried.spawn(Arc::clone(&line).carry(client));
    }
}

impl Line {
    /// Carries one connection to its end.
    async fn carry(self: Arc<Self>, client: TcpStream) {
        self.until_passing(|faults| faults.requests_wait).await;
        let Ok(server) = TcpStream::connect(&self.to).await else { return };
        // Without it the wire would be slow of its own. A socket that refuses is closed.
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let ((asked, to_client), (answered, to_server)) = (client.into_split(), server.into_split());
        let both = async { tokio::try_join!(self.requests(asked, to_server), self.answers(answered, to_client)) };
        tokio::select! {
            () = self.until(|faults| faults.refuse) => {}
            _ = both => {}
        }
    }

    /// Carries what is asked. Whoever is asked learns of the end of that when `to` is dropped.
    async fn requests(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> Result<(), Cut> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = from.read(&mut buffer).await.unwrap_or(0);
            self.until_passing(|faults| faults.requests_wait).await;
            if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Carries what is answered. Whoever asked learns of the end of that when `to` is dropped.
    async fn answers(&self, from: OwnedReadHalf, mut to: OwnedWriteHalf) -> Result<(), Cut> {
        let mut from = BufReader::new(from);
        while let Ok(frame) = next_frame(&mut from).await {
            if frame[KIND] == HEADERS {
                self.befall().await?;
            }
            self.until_passing(|faults| faults.answers_wait).await;
            if to.write_all(&frame).await.is_err() {
                return Ok(());
            }
        }
        // Not even the end of it passes before.
        self.until_passing(|faults| faults.answers_wait).await;
        Ok(())
    }

    /// What befalls an answer.
    async fn befall(&self) -> Result<(), Cut> {
        let faults = *self.faults.borrow();
        let (chance, share) = {
            let mut random = self.random.lock().expect("never poisoned");
            (random.f64(), random.f64())
        };
        if chance < faults.cut {
            self.count(|counts| counts.cut += 1);
            return Err(Cut);
        }
        if chance < faults.cut + faults.hold {
            self.count(|counts| counts.held += 1);
            tokio::time::sleep(faults.hold_for.mul_f64(share)).await;
        }
        Ok(())
    }

    async fn until_passing(&self, waits: fn(&Faults) -> bool) {
        if waits(&self.faults.borrow()) {
            self.count(|counts| counts.waited += 1);
            self.until(|faults| !waits(faults)).await;
        }
    }

    async fn until(&self, so: impl FnMut(&Faults) -> bool) {
        let mut faults = self.faults.subscribe();
        // The sender is this line's own.
        let _ = faults.wait_for(so).await;
    }

    fn count(&self, one_more: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(one_more);
    }
}

async fn next_frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; HEAD];
    from.read_exact(&mut frame).await?;
    let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]);
    frame.resize(HEAD + length as usize, 0);
    from.read_exact(&mut frame[HEAD..]).await?;
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::within;

    const SETTINGS: u8 = 4;

    /// A frame of the first stream with so many bytes in it.
    fn frame(kind: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, 4, 0, 0, 0, 1];
        frame.extend(vec![7; usize::from(length)]);
        frame
    }

    async fn client_of(wire: &Wire) -> TcpStream {
        TcpStream::connect(("127.0.0.1", wire.port)).await.expect("a connection")
    }

    /// A wire that fails like this, and who is at its two ends.
    async fn ends(faults: Faults) -> (Wire, TcpStream, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let wire = Wire::to(&listener.local_addr().expect("an address").to_string(), 1).await;
        wire.fails(faults);
        let client = client_of(&wire).await;
        let (server, _) = within("the wire connects", listener.accept()).await.expect("a connection");
        (wire, client, server)
    }

    async fn send(to: &mut TcpStream, bytes: &[u8]) {
        to.write_all(bytes).await.expect("it is taken");
    }

    async fn receive(from: &mut TcpStream, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        within("it passes", from.read_exact(&mut bytes)).await.expect("it comes");
        bytes
    }

    /// All that comes before the connection ends, however it ends.
    async fn rest(from: &mut TcpStream) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = within("the connection ends", from.read_to_end(&mut bytes)).await;
        bytes
    }

    #[tokio::test]
    async fn an_answer_is_cut_off_when_its_request_has_passed() {
        let (wire, mut client, mut server) = ends(Faults { cut: 1.0, ..Faults::NONE }).await;
        send(&mut client, b"request").await;
        assert_eq!(receive(&mut server, 7).await, b"request");
        send(&mut server, &[frame(SETTINGS, 200), frame(HEADERS, 3)].concat()).await;
        assert_eq!(rest(&mut client).await, frame(SETTINGS, 200), "what is no answer passes");
        assert_eq!(rest(&mut server).await, b"");
        assert_eq!(wire.counts(), Counts { cut: 1, ..Counts::default() });
    }

    #[tokio::test]
    async fn an_answer_that_is_held_up_comes_later() {
        let hold_for = Duration::from_millis(50);
        let (wire, mut client, mut server) = ends(Faults { hold: 1.0, hold_for, ..Faults::NONE }).await;
        let answer = frame(HEADERS, 3);
        send(&mut server, &answer).await;
        assert_eq!(receive(&mut client, answer.len()).await, answer);
        assert_eq!(wire.counts(), Counts { held: 1, ..Counts::default() });
    }

    #[tokio::test]
    async fn what_waits_passes_in_the_end() {
        let (wire, mut client, mut server) = ends(Faults::NONE).await;
        wire.fails(Faults { requests_wait: true, answers_wait: true, ..Faults::NONE });
        let answer = frame(HEADERS, 3);
        send(&mut client, b"request").await;
        send(&mut server, &answer).await;
        within("both wait", wire.until(|counts| counts.waited == 2)).await;
        let _another = client_of(&wire).await;
        within("it is taken", wire.until(|counts| counts.waited == 3)).await;
        wire.heals();
        assert_eq!(receive(&mut server, 7).await, b"request");
        assert_eq!(receive(&mut client, answer.len()).await, answer);
    }

    #[tokio::test]
    async fn who_is_connected_and_who_comes_are_turned_away() {
        let (wire, mut client, _server) = ends(Faults::NONE).await;
        wire.fails(Faults { refuse: true, ..Faults::NONE });
        assert_eq!(rest(&mut client).await, b"");
        assert_eq!(rest(&mut client_of(&wire).await).await, b"");
        assert_eq!(wire.counts(), Counts { refused: 1, ..Counts::default() });
    }
}
