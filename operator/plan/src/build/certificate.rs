//! Requests for the certificate authority and the server certificates.

use crate::build::secret;
use crate::context::Context;
use crate::outcome::{Generate, Material};

/// The authority of one service.
pub fn authority(context: &Context) -> Generate {
    Generate {
        object: secret::empty(context, &context.names.ca()),
        material: Material::Authority {
            common_name: format!("Accord CA of {}", context.ledger_key()),
        },
    }
}

/// A certificate for one of the service's Services.
pub fn server(context: &Context, secret_name: &str, service: &str, ca_certificate: &str) -> Generate {
    let host = context.host(service);
    let dns_names = vec![
        host.clone(),
        format!("{host}.cluster.local"),
        format!("{service}.{}", context.namespace()),
        service.to_owned(),
        "localhost".into(),
    ];
    Generate {
        object: secret::empty(context, secret_name),
        material: Material::Certificate {
            dns_names,
            ca_certificate: ca_certificate.to_owned(),
            ca_secret: context.names.ca(),
        },
    }
}
