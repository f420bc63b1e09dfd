// Answers of Segment's own engine. In: {"triggers": [...], "events": [...]}. Out: for each trigger, whether the engine
// could parse it, and one character an event: y (holds), n (does not), x (the engine itself fails).
const { parseFql, validate } = require('@segment/destination-subscriptions')
const { readFileSync } = require('node:fs')

const result = (condition, event) => {
  try {
    return validate(condition, event) ? 'y' : 'n'
  } catch {
    return 'x'
  }
}

const { triggers, events } = JSON.parse(readFileSync(0, 'utf8'))
const answers = triggers.map((trigger) => {
  const condition = parseFql(trigger)
  return { parsed: !('error' in condition), results: events.map((event) => result(condition, event)).join('') }
})
process.stdout.write(JSON.stringify(answers))
