// Calls Segment's own destinations as its delivery service does. In: calls, a line each. Out, for each: {"value": ...},
// what Segment keeps of our answer, or {"fault": name, "status": n, "answer": ...} where the package raises an error
// about it.
const { createInterface } = require('node:readline')
const { Destination, HTTPError, IntegrationError, defaultValues } = require('@segment/actions-core')

// One by one: the package's index loads every destination there is, and one of them lacks a dependency.
const definitions = ['webhook', 'webhook-audiences', 'webhook-extensible'].map(
  (folder) => require(`@segment/action-destinations/dist/destinations/${folder}`).default
)

// The mapping of docs/segment-setup.md: Send with its default fields, and no condition but the type.
const subscription = (definition, fields) => ({
  partnerAction: 'send',
  subscribe: 'type = "track" or type = "identify"',
  mapping: { ...defaultValues(definition.actions.send.fields), ...fields }
})

const made = async ({ slug, settings, fields, method, input }) => {
  const definition = definitions.find((each) => each.slug === slug)
  const destination = new Destination(definition)
  if (method === 'createAudience' || method === 'getAudience') {
    return destination[method]({ ...input, settings })
  }
  const subscriptions = [subscription(definition, fields)]
  const [last] = (await destination[method](input, { ...settings, subscriptions })).slice(-1)
  // A batch returns one status and body for each event, beside the event itself.
  return last.multistatus ? last.multistatus.map(({ status, body }) => ({ status, body })) : last.data
}

const raised = (error) => {
  if (!(error instanceof HTTPError || error instanceof IntegrationError)) throw error
  return { fault: error.name, status: error.response?.status ?? error.status, answer: error.response?.data }
}

const answerAll = async () => {
  for await (const call of createInterface({ input: process.stdin })) {
    const outcome = await made(JSON.parse(call)).then((value) => ({ value }), raised)
    process.stdout.write(`${JSON.stringify(outcome)}\n`)
  }
}

answerAll()
