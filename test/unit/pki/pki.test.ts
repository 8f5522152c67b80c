import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ownsKey, parseCertificates } from '../../../agent/pki/certificate.ts'
import { createCa, issueCertificate, signerOf } from '../../../agent/pki/issue.ts'
import type { CertificateRequest } from '../../../agent/pki/kinds.ts'
import { profileOf } from '../../../agent/pki/kinds.ts'
import { renewDirectory } from '../../../agent/pki/renew.ts'
import { readDirectory, readSigner, trust, writeNewCa, writePair } from '../../../agent/pki/store.ts'
import { renewalDue, validity, verifyChain } from '../../../agent/pki/validity.ts'

const DAY_MS = 86_400_000
const START = new Date('2026-11-21T12:00:00Z')
const day = (n: number): Date => new Date(START.getTime() + n * DAY_MS)

let directory: string
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'weft-pki-unit-'))))
afterEach(() => rmSync(directory, { recursive: true }))

async function issue(request: CertificateRequest, now = START, days = 365): Promise<void> {
  const profile = profileOf(request)
  const ca = await readSigner(directory)
  await writePair(directory, profile.file, await issueCertificate({ ca, profile, lifetimeMs: days * DAY_MS, now }))
}

const openssl = (...args: string[]): string => execFileSync('openssl', args, { encoding: 'utf8', cwd: directory })

describe('certificates', () => {
  test('are what OpenSSL takes them for', async () => {
    await writeNewCa(directory, await createCa({ now: new Date() }))
    await issue({ kind: 'server', dns: ['east.example'], ips: ['172.18.0.5'] }, new Date())
    await issue({ kind: 'remote', peer: 'west' }, new Date())
    const at = ['-CAfile', 'ca.crt', '-x509_strict']
    expect(
      openssl('verify', ...at, '-purpose', 'sslserver', '-verify_hostname', 'east.mesh.cilium.io', 'server.crt'),
    ).toContain('OK')
    expect(openssl('verify', ...at, '-purpose', 'sslserver', '-verify_ip', '172.18.0.5', 'server.crt')).toContain('OK')
    expect(openssl('verify', ...at, '-purpose', 'sslclient', 'remote-west.crt')).toContain('OK')
    expect(() => openssl('verify', ...at, '-purpose', 'sslserver', 'remote-west.crt')).toThrow()
    expect(() => openssl('verify', ...at, '-verify_hostname', 'evil.example', 'server.crt')).toThrow()
    expect(openssl('x509', '-in', 'remote-west.crt', '-noout', '-subject')).toContain('CN = remote-west')
    expect(openssl('x509', '-in', 'ca.crt', '-noout', '-text')).toMatch(/CA:TRUE, pathlen:0[\s\S]*Certificate Sign/)
  })

  test('have the names Cilium gives them', () => {
    expect(profileOf({ kind: 'server' })).toMatchObject({
      commonName: 'clustermesh-apiserver.cilium.io',
      dns: ['clustermesh-apiserver.cilium.io', '*.mesh.cilium.io', 'clustermesh-apiserver.kube-system.svc'],
      ips: ['127.0.0.1', '::1'],
    })
    const names = [
      profileOf({ kind: 'remote' }),
      profileOf({ kind: 'remote', peer: 'west' }),
      profileOf({ kind: 'admin', cluster: 'east' }),
      profileOf({ kind: 'local', cluster: 'east' }),
    ].map(({ commonName }) => commonName)
    expect(names).toEqual(['remote', 'remote-west', 'admin-east', 'local-east'])
    for (const bad of [
      { kind: 'admin' },
      { kind: 'remote', peer: 'We st' },
      { kind: 'local', cluster: 'a', dns: ['x'] },
    ]) {
      expect(() => profileOf(bad as CertificateRequest)).toThrow()
    }
  })

  test('end with their CA; a CA that has ended signs nothing', async () => {
    const ca = signerOf(await createCa({ days: 30, now: START }))
    const profile = profileOf({ kind: 'remote' })
    const [leaf] = parseCertificates((await issueCertificate({ ca, profile, now: day(10) })).certificate, 'leaf')
    expect(leaf.notAfter).toEqual(day(30))
    await expect(issueCertificate({ ca, profile, now: day(31) })).rejects.toMatchObject({ code: 'pki-ca-expired' })
  })

  test('an RSA CA made elsewhere signs, too', async () => {
    openssl(
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      'ca.key',
      '-out',
      'ca.crt',
      '-days',
      '30',
      '-subj',
      '/CN=Cilium CA',
    )
    await issue({ kind: 'remote' }, new Date(), 10)
    expect(openssl('verify', '-CAfile', 'ca.crt', 'remote.crt')).toContain('OK')
  })

  test('what is no certificate, or no key of it, is said', async () => {
    const pair = await createCa({ now: START })
    const other = await createCa({ now: START })
    const [ca] = parseCertificates(pair.certificate, 'ca')
    expect(ownsKey(ca, pair.key, 'key')).toBe(true)
    expect(ownsKey(ca, other.key, 'key')).toBe(false)
    expect(() => parseCertificates('', 'x.crt')).toThrow(/x\.crt holds no certificate/)
    expect(() => parseCertificates(pair.certificate.replace('MII', 'MIA'), 'x.crt')).toThrow(/cannot be read/)
    expect(() => ownsKey(ca, 'nothing', 'x.key')).toThrow(/x\.key/)
  })
})

describe('time', () => {
  const life = { notBefore: day(0), notAfter: day(30) }

  test('renewal at two thirds, warning at five sixths', () => {
    expect([19, 20, 21].map((n) => renewalDue(life, day(n)))).toEqual([false, true, true])
    expect([-1, 0, 24, 25, 29, 30].map((n) => validity(life, day(n)).state)).toEqual([
      'not-yet-valid',
      'ok',
      'ok',
      'expires-soon',
      'expires-soon',
      'expired',
    ])
    expect(validity(life, day(26)).text).toBe('expires in 4d')
    expect(validity(life, day(33)).text).toBe('expired 3d ago')
  })

  test('a chain is as good as its CA', async () => {
    const ca = signerOf(await createCa({ days: 30, now: START }))
    const profile = profileOf({ kind: 'remote' })
    const chain = parseCertificates((await issueCertificate({ ca, profile, now: START })).certificate, 'leaf')
    const twin = signerOf(await createCa({ days: 30, now: START }))
    expect(verifyChain(chain, [twin.certificate, ca.certificate], day(1)).state).toBe('ok')
    expect(verifyChain(chain, [ca.certificate], day(31)).text).toBe('its CA: expired 24h ago')
    // Same name, another key: a signature is what counts.
    expect(verifyChain(chain, [twin.certificate], day(1)).text).toBe('not signed by this CA')
  })
})

describe('a directory', () => {
  test('a CA is never overwritten; keys are for their owner alone; nothing is left behind', async () => {
    const pair = await createCa({ now: START })
    await writeNewCa(directory, pair)
    await expect(writeNewCa(directory, await createCa({ now: START }))).rejects.toMatchObject({ code: 'pki-exists' })
    await issue({ kind: 'remote' })
    expect(readdirSync(directory).sort()).toEqual(['ca.crt', 'ca.key', 'remote.crt', 'remote.key'])
    expect(['ca.key', 'remote.key', 'remote.crt'].map((name) => statSync(join(directory, name)).mode & 0o777)).toEqual([
      0o600, 0o600, 0o644,
    ])
    expect((await readSigner(directory)).key).toBe(pair.key)
  })

  test('renewal issues what is due, once, under the same names, for as long again', async () => {
    await writeNewCa(directory, await createCa({ now: START }))
    await issue({ kind: 'server', ips: ['10.0.0.1', 'fd00::1'] }, START, 30)
    await issue({ kind: 'remote' }, START, 90)
    const renewed = async (n: number): Promise<string[]> =>
      (await renewDirectory(directory, day(n))).filter((each) => each.renewed !== undefined).map(({ file }) => file)
    const before = (await readDirectory(directory, day(0))).find(({ file }) => file === 'server.crt')!.certificate
    expect(await renewed(19)).toEqual([])
    expect(await renewed(20)).toEqual(['server.crt'])
    expect(await renewed(20)).toEqual([])
    const after = (await readDirectory(directory, day(20))).find(({ file }) => file === 'server.crt')!
    expect(after.certificate).toMatchObject({ subject: before.subject, dns: before.dns, ips: before.ips, server: true })
    expect(after.certificate.notAfter).toEqual(day(50))
    expect(after.certificate.fingerprint).not.toBe(before.fingerprint)
    expect(after.verdict.state).toBe('ok')
    expect(await renewed(60)).toEqual(['remote.crt', 'server.crt'])
  })

  test('a CA in the bundle that signs no more hands over to the one whose key is there', async () => {
    await writeNewCa(directory, await createCa({ name: 'old', now: START }))
    await issue({ kind: 'remote' })
    const next = await createCa({ name: 'new', now: START })
    const added = parseCertificates(next.certificate, 'new')
    expect(await trust(directory, added)).toHaveLength(1)
    expect(await trust(directory, added)).toHaveLength(0)
    writeFileSync(join(directory, 'ca.key'), next.key)
    expect((await renewDirectory(directory, day(1))).map(({ file, reason }) => [file, reason])).toContainEqual([
      'remote.crt',
      'an older CA had signed it (CN=old)',
    ])
    const remote = (await readDirectory(directory, day(1))).find(({ file }) => file === 'remote.crt')!
    expect([remote.certificate.issuer, remote.verdict.state]).toEqual(['CN=new', 'ok'])
  })

  test("somebody else's certificate is left alone, and an end of the CA is said", async () => {
    await writeNewCa(directory, await createCa({ days: 30, now: START }))
    const other = signerOf(await createCa({ now: START }))
    const profile = profileOf({ kind: 'remote', peer: 'north' })
    await writePair(directory, profile.file, await issueCertificate({ ca: other, profile, now: START }))
    const results = await renewDirectory(directory, day(25))
    expect(results.map(({ file, renewed, attention }) => [file, renewed, attention])).toEqual([
      ['ca.crt', undefined, true],
      ['remote-north.crt', undefined, true],
    ])
  })
})
