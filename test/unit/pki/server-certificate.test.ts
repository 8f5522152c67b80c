import { mkdtemp, rm } from 'node:fs/promises'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Server } from 'node:tls'
import { createServer } from 'node:tls'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { CredentialReport } from '../../../agent/pki/credentials.ts'
import { CredentialWatch } from '../../../agent/pki/credentials.ts'
import { createCa, issueCertificate } from '../../../agent/pki/issue.ts'
import { profileOf } from '../../../agent/pki/kinds.ts'
import { shownCertificate } from '../../../agent/pki/server-certificate.ts'
import { readSigner, writeNewCa } from '../../../agent/pki/store.ts'
import type { Problem } from '../../../agent/types/problem.ts'
import { eventually } from '../../eventually.ts'
import { SteppedClock } from '../../stepped-clock.ts'

const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000

let directory: string
let server: Server
let endpoint: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), `weft-server-${process.pid}-`))
  await writeNewCa(directory, await createCa({ now: new Date(Date.now() - 30 * DAY_MS) }))
  server = createServer(await pair(-20, 10)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  endpoint = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
})

afterEach(async () => {
  await close()
  await rm(directory, { recursive: true })
})

async function close(): Promise<void> {
  if (server.listening) await new Promise((resolve) => server.close(resolve))
}

/** A server's, from `start` days after now on, for `days`. */
async function pair(start: number, days: number): Promise<{ cert: string; key: string }> {
  const { certificate: cert, key } = await issueCertificate({
    ca: await readSigner(directory),
    profile: profileOf({ kind: 'server' }),
    now: new Date(Date.now() + start * DAY_MS),
    lifetimeMs: days * DAY_MS,
  })
  return { cert, key }
}

test('one that has ended is shown, too', async () => {
  const shown = await shownCertificate({ endpoint, timeoutMs: 5000 })
  expect(shown.subject).toBe('CN=clustermesh-apiserver.cilium.io')
  expect(shown.notAfter.getTime()).toBeLessThan(Date.now())
})

test('where nobody answers, or not in TLS, that is said', async () => {
  await close()
  await expect(shownCertificate({ endpoint, timeoutMs: 5000 })).rejects.toMatchObject({ code: 'pki-server-silent' })
})

test('a watch asks again, keeps what it knows while nobody answers, and complains about the one that ends', async () => {
  const clock = new SteppedClock()
  clock.step(Date.now())
  const caFile = join(directory, 'ca.crt')
  let seen: { reports: readonly CredentialReport[]; problems: readonly Problem[] } = { reports: [], problems: [] }
  const watch = new CredentialWatch({
    ...{ who: 'cluster east', files: { caFile }, servers: [endpoint], clock, onRotated: () => undefined },
    onReport: (reports, problems) => (seen = { reports, problems }),
  })
  const states = (): string[] => seen.reports.filter(({ role }) => role === 'server').map(({ state }) => state)
  /** Looks until the state is there. */
  const until = (state: string): Promise<unknown> =>
    eventually(
      () => {
        if (states().includes(state)) return
        clock.step(5000)
        throw new Error(`${states().join()} instead of ${state}`)
      },
      { what: state },
    )
  watch.start()
  try {
    await until('expired')
    expect(seen.problems).toMatchObject([{ code: 'mesh-certificate-expired' }])
    expect(seen.problems[0]?.message).toContain('the server certificate of cluster east (CN=clustermesh-apiserver')

    server.setSecureContext(await pair(-1, 10))
    clock.step(HOUR_MS)
    await until('ok')
    expect(seen.problems).toEqual([])

    await close()
    clock.step(HOUR_MS)
    await eventually(() => clock.timers > 0)
    expect(states()).toEqual(['ok'])
  } finally {
    await watch.stop()
  }
})
