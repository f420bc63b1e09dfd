// A Segment destination function that sends events to Audience Sync's event queue (docs/queue.md).
// Settings: queueUrl (the output EventsQueueUrl), accessKeyId, secretAccessKey (sensitive) of an IAM user that is the stack's
// EventQueueSender. The runtime provides crypto, fetch and RetryError. Whatever fails is thrown as a RetryError, so that
// Segment sends it again, which is harmless; permissions can be corrected until then.

const LARGEST = 1000000 // bytes; SQS takes 1 MiB in a message

async function onTrack(event, settings) { await send(event, settings) }
async function onIdentify(event, settings) { await send(event, settings) }
async function onDelete(event, settings) { await send(event, settings) }
async function onBatch(events, settings) { await send(events, settings) }

async function send(events, settings) {
  const body = JSON.stringify(events)
  if (Buffer.byteLength(body) > LARGEST && Array.isArray(events) && events.length > 1) {
    const half = Math.ceil(events.length / 2)
    await send(events.slice(0, half), settings)
    return send(events.slice(half), settings)
  }
  const payload = JSON.stringify({ QueueUrl: settings.queueUrl, MessageBody: body })
  const response = await fetch(new URL('/', settings.queueUrl).href, {
    method: 'POST', headers: signed(payload, settings, new Date()), body: payload
  })
  if (!response.ok) throw new RetryError(`SQS answers ${response.status}: ${(await response.text()).slice(0, 300)}`)
}

// AWS Signature Version 4
function signed(payload, settings, now) {
  const host = new URL(settings.queueUrl).host // sqs.eu-west-1.amazonaws.com
  const region = host.split('.')[1]
  const time = now.toISOString().replace(/[-:]|\.\d{3}/g, '')
  const headers = {
    'content-type': 'application/x-amz-json-1.0', host, 'x-amz-date': time, 'x-amz-target': 'AmazonSQS.SendMessage'
  }
  const names = Object.keys(headers).join(';')
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`).join('')
  const request = ['POST', '/', '', lines, names, sha256(payload)].join('\n')
  const scope = `${time.slice(0, 8)}/${region}/sqs/aws4_request`
  const key = scope.split('/').reduce(hmac, `AWS4${settings.secretAccessKey}`)
  const signature = hmac(key, ['AWS4-HMAC-SHA256', time, scope, sha256(request)].join('\n')).toString('hex')
  const credential = `Credential=${settings.accessKeyId}/${scope}`
  return { ...headers, authorization: `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=${names}, Signature=${signature}` }
}

function sha256(text) { return crypto.createHash('sha256').update(text, 'utf8').digest('hex') }
function hmac(key, text) { return crypto.createHmac('sha256', key).update(text, 'utf8').digest() }
