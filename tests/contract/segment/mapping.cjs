// Resolves [[directive, event], ...] with Segment's own mapping kit; prints [{"value": ...} | {"fault": "..."}, ...].
const Module = require('node:module')
const { readFileSync } = require('node:fs')

// @liquid is not compared, and its engine is not among the declared dependencies: an empty class replaces it.
const load = Module._load
class Liquid {
  registerFilter() {}
  registerTag() {}
}
Module._load = (name, ...rest) => (name === 'liquidjs' ? { Liquid } : load(name, ...rest))

const { transform } = require('@segment/actions-core')

const results = JSON.parse(readFileSync(0, 'utf8')).map(([directive, event]) => {
  try {
    return transform({ value: directive }, event)
  } catch (error) {
    return { fault: String(error.message) }
  }
})
process.stdout.write(JSON.stringify(results))
