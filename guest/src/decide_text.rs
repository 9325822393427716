//! `edictum:guard/decide-text`: the text form over the same policies.

use edictum_engine::text;

use crate::Component;
use crate::bindings::exports::edictum::guard::decide_text::{Guest, Json, PolicyBorrow};
use crate::decide::Policy;

impl Guest for Component {
    fn evaluate(policy: PolicyBorrow<'_>, request: Json) -> Json {
        text::evaluate(&policy.get::<Policy>().0, &request)
    }

    fn begin(policy: PolicyBorrow<'_>, request: Json) -> Json {
        text::begin(&policy.get::<Policy>().0, &request)
    }

    fn settle(policy: PolicyBorrow<'_>, request: Json) -> Json {
        text::settle(&policy.get::<Policy>().0, &request)
    }

    fn finish(policy: PolicyBorrow<'_>, request: Json) -> Json {
        text::finish(&policy.get::<Policy>().0, &request)
    }

    fn resume(policy: PolicyBorrow<'_>, request: Json) -> Json {
        text::resume(&policy.get::<Policy>().0, &request)
    }

    fn members(object: Json) -> Result<Vec<(String, Json)>, String> {
        text::members(&object)
    }
}
