//! Standing in until the real one is here.
use rmcp::RoleServer;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio_util::sync::CancellationToken;

#[derive(Clone)]
pub(crate) struct ReplySlot;
impl ReplySlot {
    pub(crate) async fn acquire(&self) {}
}

pub(crate) struct Stdio {
    inner: AsyncRwTransport<RoleServer, tokio::io::Stdin, tokio::io::Stdout>,
    closing: CancellationToken,
}
impl Stdio {
    pub(crate) fn open(closing: CancellationToken) -> std::io::Result<Self> {
        Ok(Self {
            inner: AsyncRwTransport::new_server(tokio::io::stdin(), tokio::io::stdout()),
            closing,
        })
    }
}
impl Transport<RoleServer> for Stdio {
    type Error = std::io::Error;
    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.inner.send(item)
    }
    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        let m =
            tokio::select! { m = self.inner.receive() => m, () = self.closing.cancelled() => None };
        if m.is_none() {
            self.closing.cancel();
        }
        m
    }
    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}
