//! A call that is known by its name only: messages by their descriptors.

use std::sync::LazyLock;

use futures::Stream;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};

use super::super::inside::{InTime, Inside};

/// What the protocol says of itself.
pub(super) static PROTOCOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    // The compiler made it, and a test reads all of it.
    DescriptorPool::decode(muster_proto::FILE_DESCRIPTOR_SET).unwrap_or_default()
});

/// The call of a name, `package.Service/Method`.
pub(super) fn method(call: &str) -> Option<MethodDescriptor> {
    let (service, name) = call.split_once('/')?;
    PROTOCOL.get_service_by_name(service)?.methods().find(|method| method.name() == name)
}

/// Makes a call that has one answer.
pub(super) async fn unary(
    inside: &Inside,
    method: &MethodDescriptor,
    request: Request<DynamicMessage>,
) -> Result<DynamicMessage, Status> {
    let mut client = client(inside);
    // The services are in this process: ready whenever they are asked.
    let Ok(()) = client.ready().await;
    client.unary(request, path(method)?, AsDescribed(method.output())).await.map(tonic::Response::into_inner)
}

/// Makes a call that has many.
pub(super) async fn streaming(
    inside: &Inside,
    method: &MethodDescriptor,
    request: Request<DynamicMessage>,
) -> Result<impl Stream<Item = Result<DynamicMessage, Status>> + Send + 'static, Status> {
    let mut client = client(inside);
    let Ok(()) = client.ready().await;
    client.server_streaming(request, path(method)?, AsDescribed(method.output())).await.map(tonic::Response::into_inner)
}

/// What our own services answer may be of any size.
fn client(inside: &Inside) -> Grpc<InTime> {
    Grpc::new(inside.services()).max_decoding_message_size(usize::MAX)
}

fn path(method: &MethodDescriptor) -> Result<http::uri::PathAndQuery, Status> {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    path.try_into().map_err(|error: http::uri::InvalidUri| Status::internal(error.to_string()))
}

/// Messages whose type is known when they come.
struct AsDescribed(MessageDescriptor);

impl Codec for AsDescribed {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = AsDescribed;
    type Decoder = AsDescribed;

    fn encoder(&mut self) -> AsDescribed {
        AsDescribed(self.0.clone())
    }

    fn decoder(&mut self) -> AsDescribed {
        AsDescribed(self.0.clone())
    }
}

impl Encoder for AsDescribed {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, message: DynamicMessage, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(out).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for AsDescribed {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let message = DynamicMessage::decode(self.0.clone(), bytes);
        message.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
