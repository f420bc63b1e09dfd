// Membership as Segment's own resolver reads it, for a mapping that mirrors a model. In: a list of events. Out: for each true
// (is in the audience), false (is not) or null (undecided).
const { resolveAudienceMembership } = require('./node_modules/@segment/actions-core/dist/cjs/audience-membership') // not among its exports
const { readFileSync } = require('node:fs')

const events = JSON.parse(readFileSync(0, 'utf8'))
process.stdout.write(JSON.stringify(events.map((event) => resolveAudienceMembership(event, 'mirror') ?? null)))
