/** What runs with `node -e` on the hosts of a lab: nothing of a checkout is needed there. */

/** Says back what it was sent, and whom it saw. */
export const ECHO = `
const [, address, port] = process.argv
require('node:net').createServer((socket) => {
  socket.on('error', () => socket.destroy())
  socket.on('data', (data) => socket.write(data + ' ' + socket.remoteAddress))
}).listen(Number(port), address)
const udp = require('node:dgram').createSocket('udp4')
udp.on('message', (data, peer) => udp.send(data + ' ' + peer.address, peer.port, peer.address))
udp.bind(Number(port), address)
`

/**
 * COUNT connections to ADDRESS:PORT, from the ports FIRST and up (0: any), all of them open until the last is answered.
 * Each says something of its own; prints how many were answered with just that, by what peer they were seen.
 */
export const FLOOD = `
const [, address, port, count, first] = process.argv
const seen = {}
const open = []
let left = Number(count)
const done = (text) => {
  seen[text] = (seen[text] ?? 0) + 1
  if (--left > 0) return
  console.log(JSON.stringify(seen))
  process.exit(0)
}
for (let i = 0; i < Number(count); i++) {
  const word = process.pid + '/' + i
  const socket = require('node:net').connect({ host: address, port: Number(port), ...(first > 0 ? { localPort: Number(first) + i } : {}) })
  socket.on('connect', () => socket.write(word))
  socket.once('data', (data) => {
    const [said, peer] = data.toString().split(' ')
    done(said === word ? peer : 'mixed up')
  })
  socket.on('error', (error) => done(error.code))
  socket.setTimeout(20000, () => { socket.destroy(); done('silence') })
  open.push(socket)
}
`

/** One datagram, again and again until it is answered; prints by what peer it was seen. */
export const DATAGRAM = `
const [, address, port] = process.argv
const socket = require('node:dgram').createSocket('udp4')
const send = () => socket.send('datagram', Number(port), address)
socket.on('message', (data) => { console.log(data.toString().split(' ')[1]); process.exit(0) })
setInterval(send, 200)
setTimeout(() => { console.log('silence'); process.exit(0) }, 10000)
send()
`

/** GET of one host after the other, all from the same PORT; prints what each said of its peer, or why it said nothing. */
export const SAME_PORT = `
const [, port, ...hosts] = process.argv
const ask = (host) => new Promise((resolve) => {
  let text = ''
  const socket = require('node:net').connect({ host, port: 80, localPort: Number(port) })
  socket.on('connect', () => socket.write('GET / HTTP/1.0\\r\\n\\r\\n'))
  socket.on('data', (data) => { text += data })
  socket.on('close', () => resolve(/RemoteAddr: (\\S+)/.exec(text)?.[1] ?? 'nothing'))
  socket.on('error', (error) => resolve(error.code))
  socket.setTimeout(5000, () => { resolve('silence'); socket.destroy() })
})
;(async () => {
  const said = []
  for (const host of hosts) said.push(await ask(host))
  console.log(said.join(' '))
})()
`

/** Datagrams of a connected socket until somebody says no; prints the error. */
export const REFUSED = `
const [, address, port] = process.argv
const socket = require('node:dgram').createSocket('udp4')
const say = (text) => { console.log(text); process.exit(0) }
socket.on('error', (error) => say(error.code))
socket.on('message', () => say('answer'))
socket.connect(Number(port), address, () => setInterval(() => socket.send('datagram', (error) => error && say(error.code)), 100))
setTimeout(() => say('silence'), 5000)
`
