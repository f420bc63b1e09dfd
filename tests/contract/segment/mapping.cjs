// Resolves [[directive, event], ...] with Segment's own mapping kit; prints [{"value": ...} | {"fault": "..."}, ...].
const { readFileSync } = require('node:fs')
const { transform } = require('@segment/actions-core')

const results = JSON.parse(readFileSync(0, 'utf8')).map(([directive, event]) => {
  try {
    return transform({ value: directive }, event)
  } catch (error) {
    return { fault: String(error.message) }
  }
})
process.stdout.write(JSON.stringify(results))
