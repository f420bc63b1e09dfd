// In: what Segment's mapping gives its own Amazon destination, as JSON. Out: the records that the destination uploads.
const { createPayloadToUploadRecords } = require('@segment/action-destinations/dist/destinations/amazon-amc/function')

const payloads = JSON.parse(require('node:fs').readFileSync(0, 'utf8'))
process.stdout.write(JSON.stringify(createPayloadToUploadRecords(payloads, { countryCode: 'US' }).records))
