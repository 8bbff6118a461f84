//! How a NameNode wants us to prove who we are. The client of HDFS goes on without Kerberos when a NameNode does not ask for it, and says
//! nothing; and when one asks although we did not mean to, it only says that the connection broke. So each NameNode is asked first, on a
//! connection of its own: the greeting of Hadoop's RPC and the first message of its SASL negotiation, as in RpcHeader.proto.
//!
//! This is a check on configurations, not on attackers: one who is in the way may answer the next connection otherwise.

use super::protection::Level;
use super::refusal::{Refusal, first_line, of_io};
use crate::error::ErrorKind;
use bytes::{Bytes, BytesMut};
use prost::Message;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest answer we take; a real one has a hundred bytes for each method.
const MAX_ANSWER: usize = 64 << 10;
const SASL_CALL: i32 = -33;
const NEGOTIATE: i32 = 1;

/// `RpcRequestHeaderProto`.
#[derive(Clone, PartialEq, Message)]
struct RequestHeader {
    #[prost(int32, optional, tag = "1")]
    kind: Option<i32>,
    #[prost(int32, optional, tag = "2")]
    operation: Option<i32>,
    #[prost(sint32, required, tag = "3")]
    call: i32,
    #[prost(bytes = "vec", required, tag = "4")]
    client: Vec<u8>,
    #[prost(sint32, optional, tag = "5")]
    retries: Option<i32>,
}

/// `RpcResponseHeaderProto`.
#[derive(Clone, PartialEq, Message)]
struct ResponseHeader {
    #[prost(int32, tag = "2")]
    status: i32,
    #[prost(string, optional, tag = "4")]
    exception: Option<String>,
    #[prost(string, optional, tag = "5")]
    message: Option<String>,
}

/// `RpcSaslProto`.
#[derive(Clone, PartialEq, Message)]
struct Sasl {
    #[prost(int32, required, tag = "2")]
    state: i32,
    #[prost(message, repeated, tag = "4")]
    methods: Vec<Method>,
}

/// `RpcSaslProto.SaslAuth`.
#[derive(Clone, PartialEq, Message)]
struct Method {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", optional, tag = "5")]
    challenge: Option<Vec<u8>>,
}

/// What a NameNode asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    Simple,
    Kerberos,
    /// Something else, such as tokens only, or an answer in words that we do not know.
    Other,
}

/// What a NameNode says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) wants: Wants,
    /// The strongest protection that it offers, where it says so: with tokens, which secure NameNodes always take.
    pub(super) offers: Option<Level>,
}

/// Asks the NameNode at `address`, in the time given.
pub(super) async fn ask(address: &str, patience: Duration) -> Result<Answer, Refusal> {
    let at = |refusal: Refusal| Refusal { reason: format!("{address}: {}", refusal.reason), ..refusal };
    let connecting = timeout(patience, TcpStream::connect(address)).await;
    let stream = match connecting {
        Ok(Ok(stream)) => stream,
        // Names that cannot be resolved have no kind of their own.
        Ok(Err(error)) if error.raw_os_error().is_none() => {
            let reason = format!("its address cannot be found: {}", first_line(&error.to_string()));
            return Err(at(Refusal::nobody(reason, "check the host's name")));
        }
        Ok(Err(error)) => return Err(at(of_io(&error))),
        Err(_) => {
            let reason = format!("it cannot be reached within {patience:?}");
            return Err(at(Refusal::nobody(reason, "check the address, the network and its firewalls")));
        }
    };
    match timeout(patience, exchange(stream)).await {
        Ok(answer) => answer.map_err(at),
        Err(_) => {
            let reason = format!("it takes the connection, but does not answer within {patience:?}");
            Err(at(Refusal::unavailable(
                reason,
                "check that the port is that of the NameNode's RPC, and that the NameNode is well",
            )))
        }
    }
}

async fn exchange(mut stream: TcpStream) -> Result<Answer, Refusal> {
    stream.write_all(&greeting()).await.map_err(|error| of_io(&error))?;
    let mut head = [0; 4];
    if let Err(error) = stream.read_exact(&mut head).await {
        return match error.kind() {
            std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset => Err(Refusal::unavailable(
                "it closes the connection without an answer",
                "check that the port is that of the NameNode's RPC (often 8020 or 9000)",
            )),
            _ => Err(of_io(&error)),
        };
    }
    if head == *b"HTTP" {
        let reason = "it speaks HTTP";
        return Err(Refusal::new(
            ErrorKind::Invalid,
            reason,
            "give the port of the NameNode's RPC (often 8020 or 9000), not that of its web pages",
        ));
    }
    let length = u32::from_be_bytes(head) as usize;
    if length > MAX_ANSWER {
        return Err(Refusal::new(ErrorKind::Invalid, "what answers is no NameNode", "check host and port"));
    }
    let mut answer = BytesMut::zeroed(length);
    stream.read_exact(&mut answer).await.map_err(|error| of_io(&error))?;
    judge(answer.freeze())
}

/// `hrpc`, the version, a service class, SASL; then a message that opens the negotiation.
fn greeting() -> Vec<u8> {
    let header =
        RequestHeader { kind: Some(2), operation: Some(0), call: SASL_CALL, client: Vec::new(), retries: Some(-1) };
    let mut message = header.encode_length_delimited_to_vec();
    message.extend(Sasl { state: NEGOTIATE, methods: Vec::new() }.encode_length_delimited_to_vec());
    let mut bytes = b"hrpc".to_vec();
    bytes.extend([9, 0, 0xDF]);
    bytes.extend((message.len() as u32).to_be_bytes());
    bytes.extend(message);
    bytes
}

/// The client takes the first method of those that it knows.
fn judge(mut answer: Bytes) -> Result<Answer, Refusal> {
    let odd = |_| Refusal::new(ErrorKind::Invalid, "what answers is no NameNode", "check host and port");
    let header = ResponseHeader::decode_length_delimited(&mut answer).map_err(odd)?;
    if header.status != 0 {
        let class = header.exception.unwrap_or_default();
        return Err(hdfs_native::HdfsError::RPCError(class, header.message.unwrap_or_default()).into());
    }
    let sasl = Sasl::decode_length_delimited(&mut answer).map_err(odd)?;
    let known = sasl.methods.iter().find_map(|method| match method.name.as_str() {
        "SIMPLE" => Some(Wants::Simple),
        "KERBEROS" => Some(Wants::Kerberos),
        _ => None,
    });
    let offers = sasl.methods.iter().filter(|method| method.name == "TOKEN");
    let offers = offers.filter_map(|method| Level::offered(method.challenge.as_deref()?)).next();
    Ok(Answer { wants: known.unwrap_or(Wants::Other), offers })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;
    use tokio::net::TcpListener;

    /// For servers that never answer.
    const SOON: Duration = Duration::from_millis(200);
    /// For those that do, however busy the machine is.
    const IN_TIME: Duration = Duration::from_secs(60);

    fn answer(status: i32, methods: &[&str]) -> Vec<u8> {
        let header = ResponseHeader {
            status,
            exception: Some("a.StandbyException".to_owned()),
            message: Some("m\nat x".to_owned()),
        };
        let methods = methods.iter().map(|name| {
            let challenge = (*name == "TOKEN").then(|| b"realm=\"default\",qop=\"auth-int,auth\"".to_vec());
            Method { name: (*name).to_owned(), challenge }
        });
        let methods = methods.collect();
        [header.encode_length_delimited_to_vec(), Sasl { state: 1, methods }.encode_length_delimited_to_vec()].concat()
    }

    /// A server that takes connections and sends `bytes`, or nothing.
    async fn server(bytes: Option<Vec<u8>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                if let Some(bytes) = &bytes {
                    let mut greeting = [0; 11];
                    stream.read_exact(&mut greeting).await.unwrap();
                    assert!(greeting.starts_with(b"hrpc\x09\x00\xdf"));
                    stream.write_all(bytes).await.unwrap();
                }
                kept.push(stream);
            }
        });
        address
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        [&(message.len() as u32).to_be_bytes(), message].concat()
    }

    #[tokio::test]
    async fn answers() {
        for (methods, wants) in [
            (&["SIMPLE"][..], Wants::Simple),
            (&["TOKEN", "KERBEROS"], Wants::Kerberos),
            (&["KERBEROS", "SIMPLE"], Wants::Kerberos),
            (&["TOKEN", "SIMPLE", "KERBEROS"], Wants::Simple),
            (&["TOKEN"], Wants::Other),
            (&[], Wants::Other),
        ] {
            let address = server(Some(framed(&answer(0, methods)))).await;
            let offers = methods.contains(&"TOKEN").then_some(Level::Integrity);
            assert_eq!(ask(&address, IN_TIME).await.unwrap(), Answer { wants, offers }, "{methods:?}");
        }
        let refused = ask(&server(Some(framed(&answer(1, &[])))).await, IN_TIME).await.unwrap_err();
        assert!(refused.reason.contains("standby"), "{refused}");
    }

    #[tokio::test]
    async fn what_is_no_name_node_is_said_in_time() {
        for (bytes, patience, part) in [
            (None, SOON, "does not answer within 200ms"),
            (Some(b"HTTP/1.1 400 Bad Request\r\n".to_vec()), IN_TIME, "speaks HTTP"),
            (Some(vec![0xff; 9]), IN_TIME, "no NameNode"),
            (Some(framed(&[7; 9])), IN_TIME, "no NameNode"),
            (Some(vec![0, 0, 0, 9, 1]), SOON, "does not answer within 200ms"),
        ] {
            let address = server(bytes).await;
            let refusal = ask(&address, patience).await.unwrap_err();
            assert!(refusal.reason.contains(part) && refusal.reason.contains(&address), "{refusal}");
        }
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        assert!(ask(&gone, IN_TIME).await.unwrap_err().reason.contains("refused"));
        assert!(ask("no such host:1", IN_TIME).await.is_err());
    }

    proptest! {
        #[test]
        fn no_answer_is_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = judge(bytes.into());
        }
    }
}
