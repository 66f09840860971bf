plinth_core::typed_id! {
    /// Identifies a workflow.
    WorkflowId, "wf"
}
plinth_core::typed_id! {
    /// Identifies one run of a workflow. Outward calls carry it in their idempotency keys.
    RunId, "run"
}
plinth_core::typed_id! {
    /// Identifies what happened to a trigger: a run that it made, or why it made none.
    EventId, "evt"
}
