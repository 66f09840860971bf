use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::SignedDuration;
use plinth_adapter_notify::{Fault, SmtpMailer, SmtpSettings, SmtpSink};
use plinth_adapter_target::SystemResolver;
use plinth_egress::{Gate, Network};
use plinth_tenancy::{Mail, MailError, Mailer};
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
    let priced = "SELECT id, email, total::numeric(8,2) FROM orders ORDER BY id";
    let more = json!({ "steps": [{ "name": "late", "type": "sql", "connection_id": connection, "sql": priced }], "actions": [
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
    let written =
        |it: String| it.contains("di@example.com") && it.contains("30.00") && it.contains("12.50");
    assert!(written(mail.text()) && written(mail.html()), "{} {}", mail.text(), mail.html());
    let file = to("ops@example.com");
    let csv = file.attachment("orders.csv").unwrap();
    let lines: Vec<_> = csv.lines().map(str::trim_end).collect();
    assert_eq!(lines, ["id,email,total", "1,cy@example.com,12.50", "2,di@example.com,30.00"]);
    let ids: std::collections::BTreeSet<_> =
        mails.iter().map(|it| it.header("Message-ID")).collect();
    assert_eq!(ids.len(), 3, "each mail has an id of its own");

    // An alert's letter goes the same way, by the outbox.
    let query =
        ann.sql(&connection, "SELECT id, total::numeric(8,2) FROM orders ORDER BY id").await;
    let query = query.body["data"]["query_id"].clone();
    let alert = json!({ "name": "Any", "query_id": query, "condition": { "type": "has_rows" },
        "schedule": { "every": "hour" }, "notify": { "owner": false, "emails": ["ops@example.com"] } });
    assert_eq!(ann.post("/v1/alerts", alert).await.status, 201);
    app.services.alert_worker.drain().await.unwrap();
    app.services.outbox.drain().await.unwrap();
    let mails = sink.wait_for(4).await;
    assert_eq!(mails[3].header("Subject").as_deref(), Some("Alert: Any"));
    assert!(
        mails[3].text().contains("2 rows, the first with id = 1, total = 12.50"),
        "{}",
        mails[3].text()
    );
}

/// Takes mails as long as it has room, and has none for the others now.
#[derive(Default)]
struct Narrow {
    room: Mutex<usize>,
    taken: Mutex<Vec<String>>,
}

#[async_trait]
impl Mailer for Narrow {
    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        let mut room = self.room.lock().unwrap();
        *room =
            room.checked_sub(1).ok_or_else(|| MailError::Temporary("452 4.3.1 full".to_owned()))?;
        self.taken.lock().unwrap().push(mail.to.as_str().to_owned());
        Ok(())
    }
}

#[actix_web::test]
async fn who_has_a_mail_gets_it_once_and_others_see_neither_addresses_nor_rows() {
    let mailer = Arc::new(Narrow::default());
    let (app, target) = (TestApp::mailing(mailer.clone()).await, shop().await);
    let ann = app.owner_of("Example").await;
    let (eve, _) = app.member(&ann, "eve@example.com", "editor").await;
    let connection = ann.connect("shop", &target).await;
    let more = json!({ "actions": [{ "name": "tell", "type": "email", "to": ["ops@example.com"],
        "to_column": { "step": "late", "column": "email" },
        "subject": "{{ steps.late.total }} canary", "body": "{{ results_table }}" }] });
    let workflow = make(&ann, body("Mailed", &connection, &more)).await;
    // What was mailed before is not of this workflow.
    mailer.taken.lock().unwrap().clear();
    *mailer.room.lock().unwrap() = 2;
    let first = run(&app, &ann, &workflow).await;
    let id = first["id"].as_str().unwrap();
    assert_eq!(first["status"], "queued", "{first}");
    let response = &first["steps"][1]["attempts"][0]["response"];
    assert_eq!((&response["taken"], &response["left"]), (&json!(2), &json!(1)), "{first}");
    assert_eq!(*mailer.taken.lock().unwrap(), ["ops@example.com", "cy@example.com"]);

    let seen = detail(&eve, &workflow, id).await;
    let attempt = &seen["steps"][1]["attempts"][0];
    assert_eq!(attempt["request"], json!({ "to": 3, "attachments": 0 }), "{seen}");
    let counts = json!({ "taken": 2, "taken_before": 0, "left": 1, "refused": 0 });
    assert_eq!(attempt["response"], counts, "{seen}");
    assert!(
        !seen.to_string().contains("cy@example.com") && !seen.to_string().contains("canary"),
        "{seen}"
    );

    // Again there is not enough room, and then there is.
    for (advanced, room) in [(10, 0), (20, 10)] {
        *mailer.room.lock().unwrap() = room;
        app.clock.advance(SignedDuration::from_secs(advanced));
        app.services.worker.drain().await.unwrap();
    }
    let done = detail(&ann, &workflow, id).await;
    assert_eq!(done["status"], "succeeded", "{done}");
    let last = &done["steps"][1]["attempts"][2];
    assert_eq!(last["request"]["to"], json!(["di@example.com"]), "{done}");
    let counts = json!({ "taken": 1, "taken_before": 2, "left": 0, "refused": [] });
    assert_eq!(last["response"], counts, "{done}");
    let taken = mailer.taken.lock().unwrap().clone();
    assert_eq!(taken, ["ops@example.com", "cy@example.com", "di@example.com"]);
}
