import { mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Clock } from '../../../../agent/lib/clock.ts'
import { systemClock } from '../../../../agent/lib/clock.ts'
import { ConfigError } from '../../../../agent/lib/errors.ts'
import { silentLog } from '../../../../agent/lib/log.ts'
import { openManifestSource } from '../../../../agent/sources/manifests/source.ts'
import { LOCAL_SOURCE, SyncGates } from '../../../../agent/state/sync.ts'
import type { Change } from '../../../../agent/state/tables.ts'
import { createTables } from '../../../../agent/state/tables.ts'
import { Writer } from '../../../../agent/state/writer.ts'
import { eventually } from '../../../eventually.ts'
import { documents, pod, service, slice } from './manifests.ts'

let root: string
let directory: string
let stop: (() => Promise<void>) | undefined

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), `weft-manifests-${process.pid}-`))
  directory = join(root, 'manifests')
  await mkdir(directory)
})

afterEach(async () => {
  await stop?.()
  stop = undefined
  await rm(root, { recursive: true, force: true })
})

/** A source on `directory`, the tables it fills, and every change since it started. */
function prepare() {
  const tables = createTables()
  const gates = new SyncGates()
  gates.register(LOCAL_SOURCE)
  const writer = new Writer(tables, gates)
  const changes: Change[] = []
  writer.subscribe((change) => changes.push(change))
  return {
    tables,
    gates,
    changes,
    /** Cluster addresses by service, as they are now. */
    services: () => Object.fromEntries([...tables.services.values()].map((row) => [row.name, row.clusterIPs[0]])),
    problems: () => [...tables.problems.values()].flatMap((set) => set.problems.map((problem) => problem.code)),
    /** Not started. */
    open(options: { clock?: Clock; signal?: AbortSignal } = {}) {
      const source = openManifestSource({
        directory,
        cluster: 'west',
        writer,
        clock: options.clock ?? watchesOnly,
        log: silentLog,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      })
      stop = () => source.stop()
      return source
    },
    async start(options: { clock?: Clock; signal?: AbortSignal } = {}) {
      const source = this.open(options)
      await source.start()
      return source
    },
  }
}

async function started() {
  const run = prepare()
  await run.start()
  run.changes.length = 0
  return run
}

function write(name: string, text: string): Promise<void> {
  return writeFile(join(directory, name), text)
}

/** As editors and `kubectl`-like tools do it: the new file takes the place of the old one in one step. */
async function replace(name: string, text: string): Promise<void> {
  await writeFile(join(root, 'new'), text)
  await rename(join(root, 'new'), join(directory, name))
}

/**
 * A change to `directory` that shows in the tables only after everything before it was read. Awaiting it says "all of that
 * has been seen, and what did not change will not".
 */
async function barrier(run: ReturnType<typeof prepare>): Promise<void> {
  const name = `barrier-${run.tables.services.revision}`
  await write(`${name}.yaml`, service(name, { ip: '10.2.9.9' }))
  await eventually(() => expect(run.services()).toHaveProperty(`default/${name}`))
}

/** Without the regular reading: what a test sees, a watch has reported. */
const watchesOnly: Clock = {
  ...systemClock,
  after: (ms, fn) => (ms === 5_000 ? () => undefined : systemClock.after(ms, fn)),
}

/** A clock whose timers go off when the test says so. */
function handClock() {
  const timers = new Set<{ readonly ms: number; readonly fn: () => void }>()
  const clock: Clock = {
    ...systemClock,
    after(ms, fn) {
      const timer = { ms, fn }
      timers.add(timer)
      return () => timers.delete(timer)
    },
  }
  const fire = (which: (ms: number) => boolean): void => {
    for (const timer of [...timers].filter(({ ms }) => which(ms))) {
      timers.delete(timer)
      timer.fn()
    }
  }
  return { clock, fire, timers }
}

const web = service('web')

describe('startManifestSource', () => {
  it('has read everything when it resolves, backends first, and then says synced', async () => {
    await write('a.yaml', documents(web, slice('web', ['10.0.1.5'])))
    await write('notes.txt', 'kind: Nonsense')
    await write('.hidden.yaml', 'kind: [')
    await mkdir(join(directory, 'deeper.yaml'))
    const run = prepare()
    const opened: string[] = []
    run.gates.subscribe((source) => opened.push(source, String(run.tables.services.size)))
    await run.start()
    expect(run.services()).toEqual({ 'default/web': 0x0a020001 })
    expect(run.changes.map((change) => change.table)).toEqual(['backends', 'services'])
    expect(opened).toEqual([LOCAL_SOURCE, '1'])
    expect(run.problems()).toEqual([])
  })

  it('writes nothing before it is started, and then what the directory says by then', async () => {
    await write('a.yaml', web)
    const run = prepare()
    const source = run.open()
    await write('b.yaml', service('api', { ip: '10.2.0.2' }))
    await unlink(join(directory, 'a.yaml'))
    expect(run.changes).toEqual([])
    await source.start()
    await eventually(() => expect(run.services()).toEqual({ 'default/api': 0x0a020002 }))
  })

  it('follows files that come, change and go, and writes only what changed', async () => {
    await write('a.yaml', web)
    const run = await started()
    await write('b.json', JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [] }))
    await write('b.yaml', service('api', { ip: '10.2.0.2' }))
    await eventually(() => expect(run.services()).toEqual({ 'default/web': 0x0a020001, 'default/api': 0x0a020002 }))
    await write('b.yaml', service('api', { ip: '10.2.0.3' }))
    await eventually(() => expect(run.services()).toEqual({ 'default/web': 0x0a020001, 'default/api': 0x0a020003 }))
    await unlink(join(directory, 'b.yaml'))
    await eventually(() => expect(run.services()).toEqual({ 'default/web': 0x0a020001 }))
    expect(new Set(run.changes.map((change) => change.service))).toEqual(new Set(['default/api']))
  })

  it('adds and removes the endpoints of a selector with its pods', async () => {
    await write('a.yaml', web)
    const run = await started()
    const addresses = () =>
      run.tables.backends.get('west/default/web/pods')?.endpoints.map((endpoint) => endpoint.address)
    expect(addresses()).toEqual([])
    await write('pods.yaml', documents(pod('web-1', 'web', '10.0.1.5'), pod('web-2', 'web', '10.0.1.6')))
    await eventually(() => expect(addresses()).toEqual([0x0a000105, 0x0a000106]))
    await write('pods.yaml', pod('web-2', 'web', '10.0.1.6'))
    await eventually(() => expect(addresses()).toEqual([0x0a000106]))
  })

  it('sees no gap in a file that is replaced, whichever way', async () => {
    await write('a.yaml', web)
    const run = await started()
    for (let i = 2; i <= 5; i++) {
      await replace('a.yaml', service('web', { ip: `10.2.0.${i}` }))
      await eventually(() => expect(run.services()).toMatchObject({ 'default/web': 0x0a020000 + i }))
    }
    await rename(join(directory, 'a.yaml'), join(directory, 'a.yaml~'))
    await write('a.yaml', service('web', { ip: '10.2.0.9' }))
    await eventually(() => expect(run.services()).toMatchObject({ 'default/web': 0x0a020009 }))
    await rename(join(directory, 'a.yaml'), join(directory, 'z.yaml'))
    await eventually(() => expect(run.tables.services.get('default/web')?.origin).toBe('z.yaml:1'))
    // Each change is one upsert; a removal in between would be two more.
    expect(run.changes.filter((change) => change.table === 'services')).toHaveLength(6)
  })

  it('takes a file for deleted only when two readings in a row miss it', async () => {
    await write('a.yaml', web)
    const { clock, fire, timers } = handClock()
    const run = prepare()
    await run.start({ clock })
    /** Sets off what is due soon, and waits until that reading has ended by arranging the next regular one. */
    const read = async (): Promise<void> => {
      const regular = () => [...timers].find((timer) => timer.ms === 5_000)
      await eventually(() => [...timers].some((timer) => timer.ms <= 300))
      const before = regular()
      fire((ms) => ms <= 300)
      await eventually(() => regular() !== before && regular() !== undefined)
    }
    await rename(join(directory, 'a.yaml'), join(root, 'a.yaml'))
    await read()
    expect(run.services()).toHaveProperty('default/web')
    await rename(join(root, 'a.yaml'), join(directory, 'a.yaml'))
    await read()
    expect(run.changes.filter((change) => change.table === 'services')).toHaveLength(1)
    await unlink(join(directory, 'a.yaml'))
    await read()
    await read()
    expect(run.services()).toEqual({})
  })

  it('keeps the last good state while a file is wrong, says so, and takes the correction', async () => {
    await write('a.yaml', web)
    await write('b.yaml', service('api', { ip: '10.2.0.2' }))
    const run = await started()
    await write('a.yaml', 'apiVersion: v1\nkind: Service\nmetadata: {name: we')
    await eventually(() => expect(run.problems()).toEqual(['manifest-malformed']))
    expect(run.tables.problems.get('manifests/a.yaml')?.problems[0]?.message).toContain('a.yaml:3: not valid YAML')
    await write('b.yaml', service('api', { ip: '10.2.0.3' }))
    await eventually(() => expect(run.services()).toEqual({ 'default/web': 0x0a020001, 'default/api': 0x0a020003 }))
    await write('a.yaml', service('web', { port: 70000 }))
    await eventually(() => expect(run.problems()).toEqual(['manifest-refused']))
    await write('a.yaml', service('web', { ip: '10.2.0.9' }))
    await eventually(() => expect(run.services()).toMatchObject({ 'default/web': 0x0a020009 }))
    expect(run.problems()).toEqual([])
    expect(run.changes.filter((change) => change.key === 'default/web')).toHaveLength(1)
  })

  it('drops the problems of a file that is removed', async () => {
    await write('a.yaml', 'kind: [')
    const run = await started()
    expect(run.problems()).toEqual(['manifest-malformed'])
    await unlink(join(directory, 'a.yaml'))
    await eventually(() => expect(run.problems()).toEqual([]))
  })

  it('follows a directory laid out like a mounted ConfigMap', async () => {
    const version = async (name: string, text: string): Promise<void> => {
      await mkdir(join(directory, name))
      await writeFile(join(directory, name, 'a.yaml'), text)
      await symlink(name, join(directory, '..data_tmp'))
      await rename(join(directory, '..data_tmp'), join(directory, '..data'))
    }
    await version('..1', web)
    await symlink('..data/a.yaml', join(directory, 'a.yaml'))
    const run = await started()
    expect(run.services()).toEqual({ 'default/web': 0x0a020001 })
    await version('..2', service('web', { ip: '10.2.0.2' }))
    await rm(join(directory, '..1'), { recursive: true })
    await eventually(() => expect(run.services()).toEqual({ 'default/web': 0x0a020002 }))
    expect(run.changes.filter((change) => change.table === 'services')).toHaveLength(1)
  })

  it('follows a directory that is itself a link, and is swapped', async () => {
    for (const [name, ip] of [
      ['v1', '10.2.0.1'],
      ['v2', '10.2.0.2'],
    ] as const) {
      await mkdir(join(root, name))
      await writeFile(join(root, name, 'a.yaml'), service('web', { ip }))
    }
    await rm(directory, { recursive: true })
    await symlink('v1', directory)
    const run = await started()
    await symlink('v2', join(root, 'next'))
    await rename(join(root, 'next'), directory)
    await eventually(() => expect(run.services()).toEqual({ 'default/web': 0x0a020002 }))
    await writeFile(join(root, 'v2', 'b.yaml'), service('api', { ip: '10.2.0.3' }))
    await eventually(() => expect(run.services()).toHaveProperty('default/api'))
  })

  it('keeps everything while the directory is gone, and goes on when it is back', async () => {
    await write('a.yaml', web)
    const run = await started()
    await rename(directory, join(root, 'away'))
    await eventually(() => expect(run.problems()).toEqual(['manifests-directory-gone']))
    expect(run.services()).toEqual({ 'default/web': 0x0a020001 })
    await mkdir(directory)
    await write('a.yaml', service('web', { ip: '10.2.0.2' }))
    await eventually(() => expect(run.services()).toEqual({ 'default/web': 0x0a020002 }))
    expect(run.problems()).toEqual([])
    expect(run.changes.filter((change) => change.table === 'services')).toHaveLength(1)
  })

  it('keeps the objects of a link that leads nowhere', async () => {
    await writeFile(join(root, 'a.yaml'), web)
    await symlink(join(root, 'a.yaml'), join(directory, 'a.yaml'))
    const run = await started()
    await unlink(join(root, 'a.yaml'))
    await barrier(run)
    expect(run.problems()).toEqual(['manifest-unreadable'])
    expect(run.services()).toHaveProperty('default/web')
  })

  it('reads now and then what no watch reports', async () => {
    await writeFile(join(root, 'a.yaml'), web)
    await symlink(join(root, 'a.yaml'), join(directory, 'a.yaml'))
    const { clock, fire } = handClock()
    const run = prepare()
    await run.start({ clock })
    await writeFile(join(root, 'a.yaml'), service('web', { ip: '10.2.0.2' }))
    fire((ms) => ms === 5_000)
    await eventually(() => expect(run.services()).toEqual({ 'default/web': 0x0a020002 }))
  })

  it('takes in a burst of changes to many files', async () => {
    const run = await started()
    const names = Array.from({ length: 200 }, (_, i) => `s${i}`)
    await Promise.all(names.map((name, i) => write(`${name}.yaml`, service(name, { ip: `10.3.0.${i}` }))))
    await eventually(() => expect(run.tables.services.size).toBe(200))
    await Promise.all(names.slice(1).map((name) => unlink(join(directory, `${name}.yaml`))))
    await eventually(() => expect(run.tables.services.size).toBe(1))
  })

  it.each([
    ['is missing', () => rm(directory, { recursive: true }), /does not exist/],
    [
      'is a file',
      async () => {
        await rm(directory, { recursive: true })
        await writeFile(directory, '')
      },
      /is not a directory/,
    ],
  ])('says what to do when the directory %s at start', async (_, spoil, message) => {
    await spoil()
    const error = await prepare()
      .start()
      .then(
        () => undefined,
        (reason: unknown) => reason,
      )
    expect(error).toBeInstanceOf(ConfigError)
    expect(error).toMatchObject({ code: 'manifests-directory', message: expect.stringMatching(message) as string })
    expect((error as ConfigError).hint).toContain(directory)
  })

  it('says synced late when it starts on a fault, and at once when the fault is corrected', async () => {
    await write('a.yaml', 'kind: [')
    const run = prepare()
    await run.start()
    expect(run.gates.isOpen(LOCAL_SOURCE)).toBe(false)
    await write('a.yaml', web)
    await eventually(() => expect(run.services()).toHaveProperty('default/web'))
    expect(run.gates.isOpen(LOCAL_SOURCE)).toBe(true)
  })

  it('does not wait for ever for the correction', async () => {
    await write('a.yaml', 'kind: [')
    const { clock, fire } = handClock()
    const run = prepare()
    await run.start({ clock })
    expect(run.gates.isOpen(LOCAL_SOURCE)).toBe(false)
    fire((ms) => ms === 2_000)
    expect(run.gates.isOpen(LOCAL_SOURCE)).toBe(true)
  })

  it('writes nothing after it was stopped, by call or by signal', async () => {
    const abort = new AbortController()
    const run = prepare()
    const source = await run.start({ signal: abort.signal })
    abort.abort()
    await source.stop()
    await write('a.yaml', web)
    const other = prepare()
    await other.start()
    await barrier(other)
    expect(run.services()).toEqual({})
  })
})
