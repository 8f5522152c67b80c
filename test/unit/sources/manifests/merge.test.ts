import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Holdings, Merged } from '../../../../agent/sources/manifests/merge.ts'
import { emptyRows, mergeFiles, rowsOf } from '../../../../agent/sources/manifests/merge.ts'
import { applyRows } from '../../../../agent/sources/manifests/apply.ts'
import { ManifestParser } from '../../../../agent/sources/manifests/parse.ts'
import { SyncGates } from '../../../../agent/state/sync.ts'
import { createTables } from '../../../../agent/state/tables.ts'
import { Writer } from '../../../../agent/state/writer.ts'
import { documents, node, pod, service, slice } from './manifests.ts'

type Files = Readonly<Record<string, string>>

/** Reads versions of a directory one after the other, as the source does. */
class Directory {
  #last: Holdings = new Map()
  readonly #parser = new ManifestParser('west')

  async read(files: Files, withheld: readonly string[] = []): Promise<Merged> {
    const parsed = []
    for (const [name, text] of Object.entries(files))
      parsed.push(await this.#parser.parse(name, text, async () => undefined))
    const merged = mergeFiles(parsed, new Set(withheld), this.#last)
    this.#last = merged.holdings
    return merged
  }
}

function keys(merged: Merged): string[] {
  return [...merged.holdings.keys()].sort()
}

function complaints(merged: Merged): [string, string][] {
  return [...merged.problems.values()].flat().map((problem) => [problem.code, problem.message])
}

const web = service('web')
const api = service('api', { ip: '10.2.0.2' })
const BROKEN = 'spec: [\n'

describe('reading a directory', () => {
  it('takes objects from documents, lists and JSON, with the place of each', async () => {
    const list = `apiVersion: v1\nkind: List\nitems:\n  - ${api.trimEnd().replaceAll('\n', '\n    ')}\n`
    const json = JSON.stringify({ apiVersion: 'v1', kind: 'ServiceList', items: [] })
    const merged = await new Directory().read({
      'a.yaml': documents(web, node('worker', '172.18.0.3')),
      'b.yml': list,
      'c.json': json,
    })
    expect([...merged.holdings].map(([key, held]) => [key, held.row.row.origin])).toEqual([
      ['Service default/web', 'a.yaml:1'],
      ['Node worker', 'a.yaml:12'],
      ['Service default/api', 'b.yml:4'],
    ])
    expect(complaints(merged)).toEqual([])
  })

  it.each<[string, string, string, string]>([
    [
      'port 70000',
      service('web', { port: 70000 }),
      'manifest-refused',
      'a.yaml:8: Service default/web: spec.ports[0].port: 70000 is not a port',
    ],
    [
      'port 0',
      service('web', { port: 0 }),
      'manifest-refused',
      'a.yaml:8: Service default/web: spec.ports[0].port: 0 is not a port',
    ],
    ['malformed YAML', web.replace('spec:', 'spec: ['), 'manifest-malformed', 'a.yaml:6: not valid YAML: '],
    [
      'half-written file',
      web.slice(0, web.indexOf('clusterIP')),
      'manifest-refused',
      'a.yaml:5: Service default/web: spec.ports: has no port',
    ],
    ['half a word', 'apiVer', 'manifest-malformed', 'a.yaml:1: "apiVer" is not a Kubernetes object'],
    [
      'no kind',
      'apiVersion: v1\nmetadata: {name: web}\n',
      'manifest-malformed',
      'a.yaml:1: an object without apiVersion or kind',
    ],
    [
      'no name',
      web.replace('name: web', 'nane: web'),
      'manifest-refused',
      'a.yaml:4: Service default/undefined: metadata.name: is missing',
    ],
    ['a list', '- a\n', 'manifest-malformed', 'a.yaml:1: ["a"] is not a Kubernetes object'],
    [
      'wrong letter case',
      web.replace('Service', 'service'),
      'unsupported-kind',
      'a.yaml:1: kind "service" of "v1" is not supported',
    ],
    ['wrong version', web.replace('v1', 'v2'), 'unsupported-kind', 'a.yaml:1: kind "Service" of "v2" is not supported'],
    ['policy', web.replace('Service', 'NetworkPolicy'), 'unsupported-kind', 'a.yaml:1: kind "NetworkPolicy" of "v1"'],
    ['nothing at all', ' \n', 'manifest-empty', 'a.yaml: the file is empty'],
  ])('refuses %s and nothing else', async (_, text, code, message) => {
    const merged = await new Directory().read({ 'a.yaml': text, 'b.yaml': api })
    expect(keys(merged)).toEqual(['Service default/api'])
    expect(complaints(merged)).toEqual([[code, expect.stringContaining(message) as string]])
    for (const problem of [...merged.problems.values()].flat()) expect(problem.hint).not.toBe('')
  })

  it('passes over what ordinary application files hold besides services', async () => {
    const other = ['Namespace:v1', 'Deployment:apps/v1', 'ConfigMap:v1', 'Ingress:networking.k8s.io/v1'].map((text) => {
      const [kind, apiVersion] = text.split(':')
      return `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: x}\n`
    })
    const merged = await new Directory().read({ 'a.yaml': documents(...other, web) })
    expect(keys(merged)).toEqual(['Service default/web'])
    expect(complaints(merged)).toEqual([])
  })

  it('keeps the last good version of an object while its file is wrong, and takes the others anew', async () => {
    const directory = new Directory()
    await directory.read({ 'a.yaml': documents(web, api) })
    const merged = await directory.read({
      'a.yaml': documents(service('web', { port: 70000 }), service('api', { ip: '10.2.0.3' })),
    })
    expect(merged.holdings.get('Service default/web')?.row.row).toMatchObject({ ports: [{ port: 80 }] })
    expect(merged.holdings.get('Service default/api')?.row.row).toMatchObject({ clusterIPs: [0x0a020003] })
    expect(complaints(merged)).toHaveLength(1)
  })

  it.each<[string, Files, readonly string[]]>([
    ['a document is malformed', { 'a.yaml': documents(BROKEN, api) }, []],
    ['the file is cut short in a name', { 'a.yaml': web.slice(0, web.indexOf('web') + 2) }, []],
    ['the file is empty', { 'a.yaml': '' }, []],
    ['the file cannot be read', {}, ['a.yaml']],
  ])('removes nothing while %s', async (_, files, withheld) => {
    const directory = new Directory()
    await directory.read({ 'a.yaml': documents(web, api) })
    const merged = await directory.read(files, withheld)
    expect(keys(merged)).toEqual(['Service default/api', 'Service default/web'])
    expect(keys(await directory.read({ 'a.yaml': api }))).toEqual(['Service default/api'])
  })

  it('removes what a well-formed file no longer has, and what a removed file had', async () => {
    const directory = new Directory()
    await directory.read({ 'a.yaml': documents(web, api), 'b.yaml': node('worker', '172.18.0.3') })
    expect(keys(await directory.read({ 'a.yaml': web }))).toEqual(['Service default/web'])
  })

  it('lets the first of two files decide, and names both places', async () => {
    const directory = new Directory()
    const second = service('web', { ip: '10.2.0.9' })
    const merged = await directory.read({ 'b.yaml': second, 'a.yaml': documents(api, web) })
    expect(merged.holdings.get('Service default/web')?.row.row.origin).toBe('a.yaml:12')
    expect(complaints(merged)).toEqual([
      ['duplicate-object', expect.stringMatching(/^b\.yaml:1: Service default\/web is already in a\.yaml:12/)],
    ])
    const without = await directory.read({ 'b.yaml': second, 'a.yaml': api })
    expect(without.holdings.get('Service default/web')?.row.row.origin).toBe('b.yaml:1')
    expect(complaints(without)).toEqual([])
  })

  it('lets a good file take over the object of one that went wrong', async () => {
    const directory = new Directory()
    await directory.read({ 'a.yaml': web })
    const merged = await directory.read({ 'a.yaml': BROKEN, 'b.yaml': service('web', { ip: '10.2.0.9' }) })
    expect(merged.holdings.get('Service default/web')?.row.row).toMatchObject({ clusterIPs: [0x0a020009] })
    expect(complaints(merged)).toHaveLength(1)
  })

  it('does not read an unchanged document again', async () => {
    const directory = new Directory()
    const first = await directory.read({ 'a.yaml': documents(web, api) })
    const second = await directory.read({ 'a.yaml': documents(web, service('api', { ip: '10.2.0.4' })) })
    expect(second.holdings.get('Service default/web')?.row).toBe(first.holdings.get('Service default/web')?.row)
  })

  it('moves the places of objects when lines above them come and go', async () => {
    const directory = new Directory()
    await directory.read({ 'a.yaml': documents(web, api) })
    const merged = await directory.read({ 'a.yaml': `# a comment\n${documents(web, api)}` })
    expect([...merged.holdings.values()].map((held) => held.row.row.origin)).toEqual(['a.yaml:2', 'a.yaml:13'])
  })

  it('moves the lines that complaints name along with them', async () => {
    const directory = new Directory()
    const odd = documents(web, service('api', { port: 70000 }))
    const [before] = complaints(await directory.read({ 'a.yaml': odd }))
    const [after] = complaints(await directory.read({ 'a.yaml': `# a comment\n${odd}` }))
    expect(before?.[1]).toContain('a.yaml:19: ')
    expect(after?.[1]).toContain('a.yaml:20: ')
  })

  it('makes the same rows of moved documents as a process that reads them for the first time', async () => {
    const directory = new Directory()
    const text = documents(slice('web', ['10.0.1.5']), web, node('worker', '172.18.0.3'), pod('p', 'a', '10.0.1.9'))
    await directory.read({ 'a.yaml': text })
    const moved = await directory.read({ 'a.yaml': `\n\n${text}` })
    expect(moved).toEqual(await new Directory().read({ 'a.yaml': `\n\n${text}` }))
  })
})

describe('rowsOf', () => {
  it('makes endpoints from pods for services that have a selector and no slice', async () => {
    const directory = new Directory()
    const files = { 'a.yaml': documents(web, pod('web-1', 'web', '10.0.1.5'), node('worker', '172.18.0.3')) }
    const fromPods = rowsOf((await directory.read(files)).holdings, 'west')
    expect([...fromPods.backends.keys()]).toEqual(['west/default/web/pods'])
    expect(fromPods.backends.get('west/default/web/pods')?.endpoints).toMatchObject([
      { address: 0x0a000105, zone: 'a' },
    ])
    const sliced = rowsOf((await directory.read({ ...files, 'b.yaml': slice('web', ['10.0.1.6']) })).holdings, 'west')
    expect([...sliced.backends.keys()]).toEqual(['west/default/web/web-1'])
  })
})

describe('applyRows', () => {
  const objectText = fc.oneof(
    fc
      .record({ name: fc.constantFrom('a', 'b', 'c'), port: fc.constantFrom(0, 80, 81), selector: fc.boolean() })
      .map((o) => service(o.name, o)),
    fc
      .tuple(fc.constantFrom('a', 'b', 'c'), fc.subarray(['10.0.0.1', '10.0.0.2', 'nowhere']))
      .map(([name, ips]) => slice(name, ips)),
    fc.tuple(fc.constantFrom('p', 'q'), fc.constantFrom('a', 'b')).map(([name, app]) => pod(name, app, '10.0.1.9')),
    fc.constantFrom(node('worker', '172.18.0.3'), BROKEN, '# nothing\n'),
  )
  const files = fc.dictionary(
    fc.constantFrom('1.yaml', '2.yaml', '3.yaml'),
    fc.array(objectText, { maxLength: 4 }).map((texts) => documents(...texts)),
  )

  it('writes nothing for a directory that is read again, and ends in the same tables whatever came before', async () => {
    await fc.assert(
      fc.asyncProperty(files, files, async (before, after) => {
        const tables = createTables()
        const writer = new Writer(tables, new SyncGates())
        let writes = 0
        writer.subscribe(() => writes++)

        let rows = emptyRows()
        const directory = new Directory()
        for (const version of [before, after]) {
          const next = rowsOf((await directory.read(version)).holdings, 'west')
          applyRows(writer, rows, next)
          rows = next
        }
        expect(new Map([...tables.services.values()].map((row) => [row.name, row]))).toEqual(rows.services)
        expect(new Map([...tables.backends.values()].map((row) => [row.key, row]))).toEqual(rows.backends)
        expect(new Map([...tables.pods.values()].map((row) => [row.key, row]))).toEqual(rows.pods)
        expect(new Map([...tables.nodes.values()].map((row) => [row.key, row]))).toEqual(rows.nodes)

        writes = 0
        const again = await directory.read(after)
        applyRows(writer, rows, rowsOf(again.holdings, 'west'))
        expect(writes).toBe(0)
        // A process that starts now and reads rows of its own making finds them equal as well.
        const fresh = rowsOf((await new Directory().read(after)).holdings, 'west')
        if (complaints(again).length === 0) applyRows(writer, rows, fresh)
        expect(writes).toBe(0)
      }),
      { numRuns: 150 },
    )
  })

  it('writes backends before their service, and removes them after it', async () => {
    const order: string[] = []
    const writer = new Writer(createTables(), new SyncGates())
    writer.subscribe((change) => order.push(change.table))
    const rows = rowsOf(
      (await new Directory().read({ 'a.yaml': documents(web, slice('web', ['10.0.1.6'])) })).holdings,
      'west',
    )
    applyRows(writer, emptyRows(), rows)
    expect(order).toEqual(['backends', 'services'])
    order.length = 0
    applyRows(writer, rows, emptyRows())
    expect(order).toEqual(['services', 'backends'])
  })
})
