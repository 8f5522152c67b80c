/**
 * `echo-server PORT NAME`: answers HTTP and datagrams on a port with a line `NAME PEER RECEIVED`; `GET /bytes/N` with so many
 * bytes instead. Says `ready` when it listens.
 */
import { createSocket } from 'node:dgram'
import { createServer } from 'node:http'

const [, , port = '', name = ''] = process.argv

const server = createServer((request, response) => {
  let received = 0
  request.on('data', (chunk: Buffer) => (received += chunk.length))
  request.on('end', () => {
    const bytes = /^\/bytes\/(\d+)$/.exec(request.url ?? '')?.[1]
    const peer = (request.socket.remoteAddress ?? '').replace('::ffff:', '')
    response.setHeader('connection', 'close')
    response.end(bytes === undefined ? `${name} ${peer} ${received}\n` : Buffer.alloc(Number(bytes), 'x'))
  })
})

const udp = createSocket('udp4')
udp.on('message', (message, from) => udp.send(`${name} ${from.address} ${message.length}\n`, from.port, from.address))
udp.bind(Number(port), '0.0.0.0', () => {
  server.listen(Number(port), '0.0.0.0', () => process.stdout.write('ready\n'))
})
