//! Workers in words.

use std::time::Duration;

use gleaner_protocol::api::WorkerView;

use super::{bytes, local_time, short, span, total};

/// The workers connected as a table, and what they offer together.
pub fn table(workers: &[WorkerView]) -> Vec<String> {
    if workers.is_empty() {
        return vec!["no worker is connected; `gleaner coordinator invite` prints a ticket".into()];
    }
    let head = [
        "worker",
        "slots",
        "running",
        "assigned",
        "results",
        "CPU",
        "memory a slot",
        "connected since",
    ];
    let head = head.map(String::from).to_vec();
    let mut lines = super::table(&[vec![head], workers.iter().map(row).collect()].concat());
    let slots = total(workers.iter().map(|worker| u64::from(worker.slots)));
    lines.push(String::new());
    lines.push(format!("{} connected with {slots} slots", workers.len()));
    lines
}

fn row(worker: &WorkerView) -> Vec<String> {
    let memory = match worker.slot_memory_bytes {
        // It has not asked for work yet, which is when it says so.
        0 => "not said yet".into(),
        memory => bytes(memory),
    };
    vec![
        short(worker.worker),
        worker.slots.to_string(),
        worker.running.to_string(),
        worker.leases.saturating_sub(worker.running).to_string(),
        worker.results.to_string(),
        span(Duration::try_from_secs_f64(worker.cpu_seconds).unwrap_or_default()),
        memory,
        local_time(&worker.connected_at),
    ]
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use gleaner_protocol::WorkerId;

    use super::*;

    #[test]
    fn workers_are_a_table() {
        let worker = |key: u8, slot_memory_bytes| WorkerView {
            worker: WorkerId([key; 32]),
            slots: 4,
            leases: 9,
            running: 4,
            results: 120,
            slot_memory_bytes,
            cpu_seconds: 754.2,
            connected_at: "soon".into(),
        };
        let lines = table(&[worker(1, 2 << 30), worker(255, 0)]);
        expect![[r#"
            worker            slots  running  assigned  results  CPU          memory a slot  connected since
            worker-aeaqcaiba  4      4        5         120      12 min 34 s  2.1 GB         soon
            worker-777777777  4      4        5         120      12 min 34 s  not said yet   soon

            2 connected with 8 slots"#]]
        .assert_eq(&lines.join("\n"));
        assert_eq!(table(&[]).len(), 1);
    }
}
