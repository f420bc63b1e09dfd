// Segment's own published code on the same events: parse, map, hash, serialize. Asked line by line, so that runs alternate.
// In: {"body": "..."} sets the events; {"times": n} runs them n times. Out: {"seconds": s, "records": n}, seconds of processor.
const { createInterface } = require('node:readline')
const folder = `${__dirname}/../../tests/e2e/segment/node_modules/`
const { transform } = require(`${folder}@segment/actions-core`)
const amazon = `${folder}@segment/action-destinations/dist/destinations/amazon-amc`
const { createPayloadToUploadRecords } = require(`${amazon}/function`)
const { fields } = require(`${amazon}/syncAudiencesToDSP`).default

const mapping = Object.fromEntries(
  Object.entries(fields).flatMap(([name, field]) => (field.default === undefined ? [] : [[name, field.default]]))
)
const features = { 'actions-amazon-amc-consent': true }
let body = '[]'

// One upload with the settings of one audience. Left out: the trigger, the check of the payload's schema, the request.
const upload = () => {
  const payloads = JSON.parse(body).map((event) => transform(mapping, event))
  const made = createPayloadToUploadRecords(payloads, { countryCode: 'US' }, features)
  return JSON.stringify(made).replace(/"audienceId":"(\d+)"/, '"audienceId":$1')
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const asked = JSON.parse(line)
  if (asked.body !== undefined) body = asked.body
  const before = process.cpuUsage()
  let made = ''
  for (let run = 0; run < (asked.times ?? 0); run++) made = upload()
  const { user, system } = process.cpuUsage(before) // all threads: on Lambda, one processor has to run them
  const records = made ? JSON.parse(made).records.length : 0
  process.stdout.write(JSON.stringify({ seconds: (user + system) / 1e6, records }) + '\n')
})
