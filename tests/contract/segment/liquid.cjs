// Resolves [[template, event], ...] with Segment's @liquid and LiquidJS; prints [{"value": ...} | {"fault": "..."}, ...].
const { readFileSync } = require('node:fs')
const { transform } = require('@segment/actions-core')

const results = JSON.parse(readFileSync(0, 'utf8')).map(([template, event]) => {
  try {
    return transform({ value: { '@liquid': template } }, event)
  } catch (error) {
    return { fault: String(error.message) }
  }
})
process.stdout.write(JSON.stringify(results))
