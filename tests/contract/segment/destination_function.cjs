// Runs docs/examples/segment-destination-function.js with a fetch that keeps requests. In: {file, handler, argument, settings, status}.
const vm = require('vm')
const fs = require('fs')

const given = JSON.parse(fs.readFileSync(0, 'utf8'))
const requests = []
class RetryError extends Error {}
const fetch = async (url, options) => {
  requests.push({ url, ...options })
  return { ok: given.status === 200, status: given.status, text: async () => 'AccessDenied: sqs:SendMessage' }
}
const runtime = vm.createContext({ crypto: require('crypto'), fetch, RetryError, Buffer, URL })
vm.runInContext(fs.readFileSync(given.file, 'utf8'), runtime)
runtime[given.handler](given.argument, given.settings)
  .then(() => null, error => `${error.constructor.name}: ${error.message}`)
  .then(error => process.stdout.write(JSON.stringify({ requests, error })))
