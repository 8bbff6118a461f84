//! Objects: listed, read, written, in parts too.

use super::request::{Request, decoded, range_of};
use super::{Reply, Server, error, tag};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Server {
    pub(super) fn list(&self, query: &BTreeMap<String, String>) -> Reply {
        let text = |name: &str| query.get(name).cloned().unwrap_or_default();
        let (prefix, delimiter) = (text("prefix"), text("delimiter"));
        let most: usize = query.get("max-keys").map_or(1000, |most| most.parse().unwrap()).min(1000);
        let after = query.get("continuation-token").cloned().unwrap_or_else(|| text("start-after"));
        let mut out = String::new();
        let (mut count, mut last, mut more) = (0, String::new(), false);
        for (key, bytes) in &self.state().objects {
            let Some(rest) = key.strip_prefix(&prefix) else { continue };
            let group = (!delimiter.is_empty())
                .then(|| rest.find(&delimiter).map(|at| &key[..prefix.len() + at + 1]))
                .flatten();
            let shown = group.unwrap_or(key);
            if shown <= after.as_str() || shown == last {
                continue;
            }
            if count == most {
                more = true;
                break;
            }
            count += 1;
            last = shown.to_owned();
            let shown = shown.replace('&', "&amp;").replace('<', "&lt;");
            match group {
                Some(_) => out.push_str(&format!("<CommonPrefixes><Prefix>{shown}</Prefix></CommonPrefixes>")),
                None => out.push_str(&format!(
                    "<Contents><Key>{shown}</Key><LastModified>2024-05-07T10:11:12.000Z</LastModified><ETag>\"{}\"</ETag><Size>{}</Size></Contents>",
                    tag(bytes),
                    bytes.len()
                )),
            }
        }
        let next = if more { format!("<NextContinuationToken>{last}</NextContinuationToken>") } else { String::new() };
        let body = format!(
            "<?xml version=\"1.0\"?><ListBucketResult><Name>bucket</Name><KeyCount>{count}</KeyCount><IsTruncated>{more}</IsTruncated>{next}{out}</ListBucketResult>"
        );
        (200, vec![], body.into_bytes())
    }

    pub(super) fn read(&self, request: &Request, key: &str) -> Reply {
        let Some(bytes) = self.state().objects.get(key).cloned() else {
            return match request.method.as_str() {
                "HEAD" => (404, vec![], vec![]),
                _ => error(404, "NoSuchKey", "The specified key does not exist."),
            };
        };
        let mut headers = vec![
            ("ETag", format!("\"{}\"", tag(&bytes))),
            ("Last-Modified", "Tue, 07 May 2024 10:11:12 GMT".to_owned()),
        ];
        if request.method == "HEAD" {
            headers.push(("Content-Length", bytes.len().to_string()));
            return (200, headers, vec![]);
        }
        let Some(range) = request.headers.get("range") else { return (200, headers, bytes.to_vec()) };
        match range_of(range, bytes.len()) {
            Some((start, end)) => {
                headers.push(("Content-Range", format!("bytes {start}-{}/{}", end - 1, bytes.len())));
                (206, headers, bytes[start..end].to_vec())
            }
            None => error(416, "InvalidRange", "The requested range is not satisfiable"),
        }
    }

    /// The source of a copy.
    fn source(&self, request: &Request) -> Option<Result<Arc<Vec<u8>>, Reply>> {
        let source = decoded(request.headers.get("x-amz-copy-source")?);
        let key = source.trim_start_matches('/').strip_prefix("bucket/").unwrap_or_default().to_owned();
        let found = self.state().objects.get(&key).cloned();
        Some(found.ok_or_else(|| error(404, "NoSuchKey", "The specified key does not exist.")))
    }

    pub(super) fn write(&self, request: &Request, key: &str) -> Reply {
        let (bytes, copied) = match self.source(request) {
            None => (Arc::new(request.body.clone()), false),
            Some(Ok(bytes)) => (bytes, true),
            Some(Err(reply)) => return reply,
        };
        let tag = tag(&bytes);
        self.state().objects.insert(key.to_owned(), bytes);
        match copied {
            true => (200, vec![], format!("<CopyObjectResult><ETag>\"{tag}\"</ETag><LastModified>2024-05-07T10:11:12.000Z</LastModified></CopyObjectResult>").into_bytes()),
            false => (200, vec![("ETag", format!("\"{tag}\""))], vec![]),
        }
    }

    pub(super) fn begin(&self, key: &str) -> Reply {
        let mut state = self.state();
        state.next += 1;
        let id = format!("upload-{}", state.next);
        state.uploads.insert(id.clone(), (key.to_owned(), BTreeMap::new()));
        let body = format!(
            "<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>k</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        );
        (200, vec![], body.into_bytes())
    }

    pub(super) fn part(&self, request: &Request, query: &BTreeMap<String, String>) -> Reply {
        let number: u32 = query["partNumber"].parse().unwrap();
        let (bytes, copied) = match self.source(request) {
            None => (request.body.clone(), false),
            Some(Ok(whole)) => {
                match request.headers.get("x-amz-copy-source-range").map(|range| range_of(range, whole.len())) {
                    Some(Some((start, end))) => (whole[start..end].to_vec(), true),
                    _ => return error(400, "InvalidArgument", "a range is missing"),
                }
            }
            Some(Err(reply)) => return reply,
        };
        let tag = tag(&bytes);
        match self.state().uploads.get_mut(&query["uploadId"]) {
            None => return error(404, "NoSuchUpload", "The specified upload does not exist."),
            Some((_, parts)) => parts.insert(number, bytes),
        };
        match copied {
            true => (200, vec![], format!("<CopyPartResult><ETag>\"{tag}\"</ETag></CopyPartResult>").into_bytes()),
            false => (200, vec![("ETag", format!("\"{tag}\""))], vec![]),
        }
    }

    pub(super) fn complete(&self, request: &Request, query: &BTreeMap<String, String>) -> Reply {
        let asked = String::from_utf8_lossy(&request.body).matches("<Part>").count();
        let mut state = self.state();
        let Some((key, parts)) = state.uploads.get(&query["uploadId"]).cloned() else {
            return error(404, "NoSuchUpload", "The specified upload does not exist.");
        };
        if asked != parts.len() {
            return error(400, "InvalidPart", "One or more of the specified parts could not be found.");
        }
        if parts.values().rev().skip(1).any(|part| part.len() < 5 << 20) {
            return error(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size");
        }
        state.uploads.remove(&query["uploadId"]);
        let whole: Vec<u8> = parts.into_values().flatten().collect();
        let tag = tag(&whole);
        state.objects.insert(key, Arc::new(whole));
        let body = format!(
            "<CompleteMultipartUploadResult><Bucket>bucket</Bucket><Key>k</Key><ETag>\"{tag}\"</ETag></CompleteMultipartUploadResult>"
        );
        (200, vec![], body.into_bytes())
    }
}
