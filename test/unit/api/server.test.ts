import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ApiClient } from '../../../agent/api/client.ts'
import { startApi } from '../../../agent/api/server.ts'
import type { AgentView } from '../../../agent/api/view.ts'
import { silentLog } from '../../../agent/lib/log.ts'
import { decision, frontend, ip, row, service, webpodDecisions, world } from './fixture.ts'

let directory: string
let socket: string
const servers: { close(): Promise<void> }[] = []

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), `weft-api-${process.pid}-`))
  socket = join(directory, 'run', 'weft.sock')
})

afterEach(async () => {
  for (const server of servers.splice(0)) await server.close()
  rmSync(directory, { recursive: true, force: true })
})

async function serve(view: AgentView = guideView(), signal?: AbortSignal): Promise<{ close(): Promise<void> }> {
  const server = await startApi({ socket, view, log: silentLog, ...(signal === undefined ? {} : { signal }) })
  servers.push(server)
  return server
}

function guideView(): AgentView {
  const { view, writer } = world([row(frontend(webpodDecisions('none')))])
  writer.upsertService(service())
  return view
}

/** A socket file nobody listens on any more: its owner is killed. */
async function leaveStaleSocket(): Promise<void> {
  const script = `require('net').createServer().listen(${JSON.stringify(socket)}, () => process.stdout.write('up'))`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(existsSync(socket)).toBe(true)
}

function raw(method: string, path: string): Promise<{ status: number; body: unknown }> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath: socket, method, path, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (text += chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as unknown }))
    })
    outgoing.on('error', reject)
    outgoing.end()
  })
}

describe('the API socket', () => {
  it('has mode 0660 and is gone after close', async () => {
    const server = await serve()
    expect(statSync(socket).mode & 0o777).toBe(0o660)
    await server.close()
    expect(existsSync(socket)).toBe(false)
  })

  it('closes when the signal aborts', async () => {
    const stop = new AbortController()
    const server = await serve(guideView(), stop.signal)
    stop.abort()
    await server.close()
    await expect(new ApiClient(socket).status()).rejects.toMatchObject({ code: 'no-agent' })
  })

  it('replaces the file of an agent that died', async () => {
    socket = join(directory, 'weft.sock')
    await leaveStaleSocket()
    await serve()
    await expect(new ApiClient(socket).status()).resolves.toMatchObject({ ok: true })
  })

  it('is refused while another agent answers there, which goes on', async () => {
    await serve()
    await expect(serve()).rejects.toMatchObject({
      code: 'socket-in-use',
      message: `another agent answers on ${socket}`,
      hint: 'stop it first, or give this one its own --socket PATH',
    })
    await expect(new ApiClient(socket).status()).resolves.toMatchObject({ ok: true })
  })

  it('does not remove a file that is no socket', async () => {
    socket = join(directory, 'precious')
    writeFileSync(socket, 'data')
    await expect(serve()).rejects.toMatchObject({ code: 'socket-not-ours' })
    expect(statSync(socket).size).toBe(4)
  })

  it('says where it cannot listen', async () => {
    writeFileSync(join(directory, 'run'), '')
    await expect(serve()).rejects.toMatchObject({ code: 'socket-failed', message: `cannot listen on ${socket}` })
  })
})

describe('answers', () => {
  it('are the same through the client as in the agent', async () => {
    const view = guideView()
    await serve(view)
    const client = new ApiClient(socket)
    expect(await client.config()).toEqual(view.config)
    const [report] = await client.services()
    expect(report?.spec['backend-addresses']).toHaveLength(4)
    expect((await client.explain('default', 'webpod')).frontends[0]?.address).toBe('10.2.47.149:80/TCP')
    expect(await client.nodes()).toEqual([])
    expect(await client.endpoints()).toEqual([])
    expect((await client.identities())[0]).toEqual({ id: 1, labels: ['reserved:host'], cluster: 'west' })
    expect(await raw('GET', '/v1/healthz')).toEqual({ status: 200, body: { status: 'ok' } })
  })

  it('come whole when the list is long', async () => {
    const rows = Array.from({ length: 1000 }, (_, i) =>
      row(frontend([decision('10.0.0.46')], { address: ip(`10.2.${i >> 8}.${i & 255}`) }), i + 1),
    )
    await serve(world(rows).view)
    const reports = await new ApiClient(socket).services()
    expect(reports.map((report) => report.spec.id)).toEqual(rows.map((candidate) => candidate.id))
  })

  it('name what is not there', async () => {
    await serve()
    expect(await raw('GET', '/v1/nothing')).toMatchObject({ status: 404, body: { error: { code: 'no-such-path' } } })
    expect(await raw('POST', '/v1/status')).toMatchObject({ status: 405, body: { error: { code: 'only-get' } } })
    expect(await raw('GET', '/v1/explain/a/%zz')).toMatchObject({ status: 400, body: { error: { code: 'bad-path' } } })
    await expect(new ApiClient(socket).explain('prod', 'webpod')).rejects.toMatchObject({
      code: 'no-such-service',
      message: 'no cluster has a service prod/webpod',
      hint: 'did you mean default/webpod?',
    })
  })

  it('report an inner failure as such and keep the server up', async () => {
    const view = guideView()
    let broken = true
    await serve({
      ...view,
      targets: () => {
        if (broken) throw new Error('half built')
        return []
      },
    })
    await expect(new ApiClient(socket).status()).rejects.toMatchObject({ code: 'internal', message: 'half built' })
    broken = false
    await expect(new ApiClient(socket).status()).resolves.toMatchObject({ ok: true })
  })
})

describe('a client without an agent', () => {
  it('says which socket it tried and what to do', async () => {
    await expect(new ApiClient(socket).status()).rejects.toMatchObject({
      code: 'no-agent',
      message: `no agent answers on ${socket}`,
      hint: 'start one with "weft agent", or name its socket with --socket PATH or WEFT_SOCKET',
    })
  })

  it('says the same of a socket whose agent died', async () => {
    socket = join(directory, 'weft.sock')
    await leaveStaleSocket()
    await expect(new ApiClient(socket).status()).rejects.toMatchObject({ code: 'no-agent' })
  })
})
