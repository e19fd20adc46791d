// A reporter for Node's test runner: prints one line of JSON for each test, but not for suites: {name, outcome, ms}.
const outcomes = { 'test:pass': 'passed', 'test:fail': 'failed' };

export default async function* results(events) {
  for await (const { type, data } of events) {
    const outcome = outcomes[type];
    if (!outcome || data.details?.type === 'suite') continue;
    // Node reports a skipped test as passed.
    const skipped = outcome === 'passed' && (data.skip !== undefined || data.todo !== undefined);
    yield `${JSON.stringify({ name: data.name, outcome: skipped ? 'skipped' : outcome, ms: Math.round(data.details?.duration_ms ?? 0) })}\n`;
  }
}
