use async_trait::async_trait;
use plinth_egress::{Gate, Scheme, WebAddress};
use plinth_workflows::{Fault, Outward, OutwardAnswer, OutwardCall};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};

use crate::{HttpClient, HttpError, HttpRequest, HttpSettings, HttpStream, InvalidHttpSettings};

/// How much of an answer is read, in bytes. What comes after it is not waited for: that the receiver said yes is known by
/// then.
const MOST_BYTES: usize = 256 * 1024;

/// How many redirects are followed.
const MOST_REDIRECTS: usize = 3;

/// [`Outward`] over [`HttpClient`]: the calls of workflows.
///
/// Where a call leads is judged by the gate at each sending and at each redirect. A redirect is followed where it keeps
/// method and body (307, 308), and for a `GET`; one to another origin gets none of the caller's headers.
#[derive(Clone)]
pub struct HttpCalls {
    client: HttpClient,
}

impl HttpCalls {
    /// Calls what `gate` admits.
    ///
    /// # Errors
    ///
    /// [`InvalidHttpSettings`].
    pub fn new(gate: Gate) -> Result<Self, InvalidHttpSettings> {
        let mut settings = HttpSettings::new(gate);
        settings.time_limit = std::time::Duration::from_mins(1);
        settings.max_body_bytes = usize::MAX;
        Ok(Self { client: HttpClient::new(settings)? })
    }

    async fn send(&self, call: OutwardCall) -> Result<OutwardAnswer, Fault> {
        let method = Method::from_bytes(call.method.as_bytes())
            .map_err(|_| Fault::permanent("there is no such method"))?;
        let mut url = call.url.clone();
        let mut headers = Some(&call.headers);
        for _ in 0..=MOST_REDIRECTS {
            let address = WebAddress::parse(&url, Scheme::Any)
                .map_err(|err| Fault::permanent(format!("the address {err}")))?;
            let mut request = HttpRequest::new(method.clone(), address.clone());
            for (name, value) in headers.into_iter().flatten() {
                let name = HeaderName::from_bytes(name.as_bytes());
                let value = HeaderValue::from_str(value);
                let (Ok(name), Ok(mut value)) = (name, value) else {
                    return Err(Fault::permanent("a header has a value that cannot be sent"));
                };
                value.set_sensitive(true);
                request = request.header(name, value);
            }
            if let Some(body) = &call.body {
                request = request.body(body.clone());
            }
            let answer = self.client.open(request).await.map_err(|err| fault(&err))?;
            let Some(to) = redirect(&method, &answer, &url) else { return Ok(read(answer).await) };
            let next = WebAddress::parse(&to, Scheme::Any)
                .map_err(|err| Fault::permanent(format!("the redirect {err}")))?;
            if next.origin() != address.origin() {
                // Neither a secret nor what the call carries is another's.
                if call.body.is_some() {
                    return Err(Fault::permanent(
                        "the receiver sends the call on to another origin; give its address instead",
                    ));
                }
                headers = None;
            }
            url = to;
        }
        Err(Fault::permanent(format!("there are more than {MOST_REDIRECTS} redirects")))
    }
}

#[async_trait]
impl Outward for HttpCalls {
    async fn call(&self, call: OutwardCall) -> Result<OutwardAnswer, Fault> {
        let limit = call.time;
        tokio::time::timeout(limit, self.send(call)).await.unwrap_or_else(|_| {
            Err(Fault::temporary(format!("there was no whole answer within {} s", limit.as_secs())))
        })
    }
}

/// Where the answer sends the call on to, if it is followed.
fn redirect(method: &Method, answer: &HttpStream, from: &str) -> Option<String> {
    let follows = match answer.status {
        307 | 308 => true,
        301..=303 => method == Method::GET,
        _ => false,
    };
    let location = answer.headers.get(LOCATION)?.to_str().ok().filter(|_| follows)?;
    Some(reqwest::Url::parse(from).ok()?.join(location).ok()?.into())
}

async fn read(mut answer: HttpStream) -> OutwardAnswer {
    let text = |name: HeaderName| {
        answer.headers.get(name).and_then(|it| it.to_str().ok()).map(str::to_owned)
    };
    let (content_type, retry_after) = (text(CONTENT_TYPE), text(RETRY_AFTER));
    let mut body = Vec::new();
    // A body that breaks off takes nothing back of what the status said.
    while body.len() < MOST_BYTES
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(MOST_BYTES);
    OutwardAnswer {
        status: answer.status,
        content_type,
        retry_after: retry_after.and_then(|it| it.parse().ok()),
        body,
    }
}

fn fault(err: &HttpError) -> Fault {
    Fault { is_temporary: err.is_temporary(), ..Fault::permanent(err.to_string()) }
}
