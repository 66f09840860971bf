use std::sync::Arc;

use jiff::SignedDuration;
use plinth_adapter_notify::{Fault, SmtpMailer, SmtpSettings, SmtpSink};
use plinth_adapter_target::SystemResolver;
use plinth_egress::{Gate, Network};
use serde_json::json;

use crate::app::TestApp;
use crate::workflows::{body, detail, make, run, shop};

/// A server that sends its mail to a mail server of the test.
async fn mailing(sink: &SmtpSink) -> TestApp {
    let gate = Gate::new(Arc::new(SystemResolver), [Network::LOOPBACK_V4], []);
    let clock = Arc::new(plinth_core::SystemClock);
    let settings = SmtpSettings::parse(&sink.url()).unwrap();
    let from = "Plinth <plinth@example.com>".parse().unwrap();
    let mailer = SmtpMailer::new(settings, from, gate.of_operator(), &[sink.authority()], clock);
    TestApp::mailing(Arc::new(mailer.unwrap())).await
}

#[actix_web::test]
async fn a_workflows_mail_arrives_over_smtp_and_one_that_was_refused_for_now_comes_later_as_the_same()
 {
    let sink = SmtpSink::start().await;
    let (app, target) = (mailing(&sink).await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let more = json!({ "actions": [
        { "name": "tell", "type": "email", "to_column": { "step": "late", "column": "email" },
          "subject": "{{ row_count }} orders", "body": "# Late\n\n{{ results_table }}" },
        { "name": "file", "type": "email", "to": ["ops@example.com"], "subject": "Orders", "body": "All.",
          "csv": { "file_name": "orders.csv" } },
    ] });
    let workflow = make(&ann, body("Mailed", &connection, &more)).await;
    sink.fault("DATA", Some(Fault::Say("451 4.3.0 busy".to_owned())));
    let first = run(&app, &ann, &workflow).await;
    assert_eq!(first["status"], "queued", "{first}");
    assert!(sink.received().is_empty());
    sink.fault("DATA", None);
    app.clock.advance(SignedDuration::from_secs(10));
    app.services.worker.drain().await.unwrap();
    let done = detail(&ann, &workflow, first["id"].as_str().unwrap()).await;
    assert_eq!(done["status"], "succeeded", "{done}");
    let mails = sink.wait_for(3).await;
    let to = |address: &str| mails.iter().find(|it| it.to == [address]).unwrap();
    let mail = to("cy@example.com");
    assert_eq!(mail.header("Subject").as_deref(), Some("2 orders"));
    assert!(
        mail.html().contains("<h1>Late</h1>") && mail.html().contains("<table"),
        "{}",
        mail.html()
    );
    assert!(mail.text().contains("di@example.com"), "{}", mail.text());
    let file = to("ops@example.com");
    let csv = file.attachment("orders.csv").unwrap();
    let lines: Vec<_> = csv.lines().map(str::trim_end).collect();
    assert_eq!(lines, ["id,email,total", "1,cy@example.com,12.5", "2,di@example.com,30"]);
    let ids: std::collections::BTreeSet<_> =
        mails.iter().map(|it| it.header("Message-ID")).collect();
    assert_eq!(ids.len(), 3, "each mail has an id of its own");

    // An alert's letter goes the same way, by the outbox.
    let query = ann.sql(&connection, "SELECT id FROM orders").await;
    let query = query.body["data"]["query_id"].clone();
    let alert = json!({ "name": "Any", "query_id": query, "condition": { "type": "has_rows" },
        "schedule": { "every": "hour" }, "notify": { "owner": false, "emails": ["ops@example.com"] } });
    assert_eq!(ann.post("/v1/alerts", alert).await.status, 201);
    app.services.alert_worker.drain().await.unwrap();
    app.services.outbox.drain().await.unwrap();
    let mails = sink.wait_for(4).await;
    assert_eq!(mails[3].header("Subject").as_deref(), Some("Alert: Any"));
    assert!(mails[3].text().contains("2 rows, the first with id = 1"), "{}", mails[3].text());
}
