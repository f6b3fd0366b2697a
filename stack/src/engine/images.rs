//! Images: which are there, and fetching one with its progress.

use std::collections::HashMap;

use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;

use super::{Engine, fault, is_absent};
use crate::StackError;

impl Engine {
    /// The architecture of an image, such as `amd64`; `None` when the engine does not have it.
    pub(crate) async fn image_architecture(&self, image: &str) -> Result<Option<String>, StackError> {
        match self.docker.inspect_image(image).await {
            Ok(answer) => Ok(Some(answer.architecture.unwrap_or_default())),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(self.failed(&format!("asking about image {image}"))(error)),
        }
    }

    /// Fetches an image; `progress` hears bytes that are here and bytes in all, as far as known.
    pub(crate) async fn pull(
        &self,
        image: &str,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<(), StackError> {
        let (name, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
        let options = CreateImageOptionsBuilder::new().from_image(name).tag(tag).build();
        let mut news = std::pin::pin!(self.docker.create_image(Some(options), None, None));
        let mut layers = Layers::default();
        while let Some(piece) = news.next().await {
            let piece = piece.map_err(|error| fault::pull(&self.socket, image, &error))?;
            let detail = piece.progress_detail.unwrap_or_default();
            let id = piece.id.unwrap_or_default();
            if layers.hear(
                &id,
                piece.status.as_deref().unwrap_or_default(),
                detail.current,
                detail.total,
            ) {
                let (done, total) = layers.bytes();
                progress(done, total);
            }
        }
        Ok(())
    }
}

/// How far each layer is.
#[derive(Debug, Default)]
struct Layers {
    /// Bytes that are here and bytes in all, by the layer's id.
    by_id: HashMap<String, (u64, u64)>,
}

impl Layers {
    /// Takes a piece of news in; says whether it changed anything.
    fn hear(&mut self, id: &str, status: &str, current: Option<i64>, total: Option<i64>) -> bool {
        let bytes = |number: Option<i64>| number.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
        match status {
            "Downloading" => {
                let known = self.by_id.entry(id.to_owned()).or_default();
                known.0 = bytes(current).unwrap_or(known.0);
                known.1 = bytes(total).unwrap_or(known.1).max(known.0);
                true
            }
            "Download complete" | "Pull complete" => match self.by_id.get_mut(id) {
                Some(known) => {
                    known.0 = known.1;
                    true
                }
                None => false,
            },
            // Extracting counts its own bytes from nothing again; that would run backwards.
            _ => false,
        }
    }

    fn bytes(&self) -> (u64, u64) {
        self.by_id
            .values()
            .fold((0, 0), |(done, total), layer| (done + layer.0, total + layer.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_adds_layers_up_and_never_runs_backwards() {
        let mut layers = Layers::default();
        assert!(!layers.hear("v3", "Pulling from prom/prometheus", None, None));
        assert!(layers.hear("a", "Downloading", Some(10), Some(100)));
        assert!(layers.hear("b", "Downloading", Some(5), Some(50)));
        assert_eq!(layers.bytes(), (15, 150));
        assert!(layers.hear("a", "Download complete", None, None));
        assert!(!layers.hear("a", "Extracting", Some(1), Some(100)));
        assert_eq!(layers.bytes(), (105, 150));
        // An engine that does not know the size says -1.
        assert!(layers.hear("c", "Downloading", Some(7), Some(-1)));
        assert_eq!(layers.bytes(), (112, 157));
    }
}
