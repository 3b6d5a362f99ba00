/* A response for tests that check something else. */

import { type ResponseObject } from '../../../src/domain/response.js';

export function responseOf(fields: Partial<ResponseObject> = {}): ResponseObject {
  return {
    id: 'resp_1',
    object: 'response',
    created_at: 1,
    completed_at: null,
    status: 'in_progress',
    background: false,
    error: null,
    incomplete_details: null,
    instructions: null,
    max_output_tokens: null,
    model: 'model-a',
    output: [],
    output_text: '',
    parallel_tool_calls: true,
    previous_response_id: null,
    conversation: null,
    prompt: null,
    reasoning: { effort: null, summary: null },
    service_tier: 'default',
    store: true,
    temperature: null,
    text: { format: { type: 'text' } },
    tool_choice: 'auto',
    tools: [],
    top_p: null,
    truncation: 'disabled',
    usage: null,
    safety_identifier: null,
    metadata: {},
    sluice: { prompt: null, provider: null, findings: [], cost_usd: null, usage_estimated: false, kept: null },
    ...fields,
  };
}
