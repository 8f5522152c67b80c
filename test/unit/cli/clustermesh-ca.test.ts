import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { CertificateReport } from '../../../agent/cli/clustermesh-ca-text.ts'
import { impatientClock, weft } from './harness.ts'

const DAY_MS = 86_400_000

let directory: string
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'weft-ca-'))))
afterEach(() => rmSync(directory, { recursive: true }))

test('init, issue, show, renew', async () => {
  const clock = impatientClock()
  const run = (line: string): ReturnType<typeof weft> => weft(`clustermesh ca ${line}`, { clock })
  expect((await run(`init ${directory}`)).code).toBe(0)
  const again = await run(`init ${directory}`)
  expect([again.code, again.err]).toEqual([1, expect.stringContaining('exists and is not overwritten')])
  expect((await run(`issue server -d ${directory} --ip 10.0.0.9 --dns e.example`)).code).toBe(0)
  expect((await run(`issue remote --peer west -d ${directory} --days 30`)).code).toBe(0)
  expect((await run(`issue admin -d ${directory}`)).err).toContain('is for one cluster')
  expect((await run(`issue remote -d ${directory} --days none`)).code).toBe(2)

  const shown = await run(`show ${directory}`)
  expect(shown.code).toBe(0)
  expect(shown.out).toMatch(/^ca\.crt: ok\n {2}Subject: +CN=weft CA\n/)
  expect(shown.out).toContain('server.crt: ok')
  expect(shown.out).toMatch(/IP:10\.0\.0\.9/)

  clock.waited = 31 * DAY_MS
  const json = await run(`show ${directory} -o json`)
  const reports = JSON.parse(json.out) as CertificateReport[]
  expect(json.code).toBe(1)
  expect(reports.map(({ file, state, verdict }) => [file, state, verdict])).toEqual([
    ['ca.crt', 'ok', 'ok'],
    ['remote-west.crt', 'expired', 'expired 24h ago'],
    ['server.crt', 'ok', 'ok'],
  ])
  const renewed = await run(`renew ${directory}`)
  expect(renewed.code).toBe(0)
  expect(renewed.out).toMatch(/remote-west\.crt +yes/)
  expect((await run(`show ${directory}`)).code).toBe(0)
  expect((await run(`renew ${directory}`)).out).not.toMatch(/ yes /)
})

test('a directory without a CA says what to do', async () => {
  const { code, err } = await weft(`clustermesh ca show ${directory}`)
  expect(code).toBe(1)
  expect(err).toMatch(/cannot read .*ca\.crt[\s\S]*hint: weft clustermesh ca init/)
})
