import { describe, expect, it } from 'vitest'
import { buildProgram } from '../../../agent/cli/program.ts'
import type { Command } from 'commander'
import type { CliContext } from '../../../agent/cli/context.ts'
import { ConfigError } from '../../../agent/lib/errors.ts'
import { world } from '../api/fixture.ts'
import { weft } from './harness.ts'

const NO_SETTINGS = { agent: [], apiserver: [], kvstoremesh: [] }

describe('errors', () => {
  it('name the missing agent and exit with 1', async () => {
    expect(await weft('service list')).toMatchObject({
      code: 1,
      out: '',
      err: 'error: no agent answers on /run/weft/weft.sock\nhint: start one with "weft agent"\n',
    })
  })

  it('suggest the command that was meant', async () => {
    expect(await weft('statsu')).toMatchObject({
      code: 2,
      out: '',
      err: "error: unknown command 'statsu'\nhint: did you mean status?\n",
    })
    expect((await weft('bpf lbs list')).err).toBe("error: unknown command 'lbs'\nhint: did you mean lb?\n")
    expect((await weft('service list --clustermesh-afinity')).err).toBe(
      "error: unknown option '--clustermesh-afinity'\nhint: did you mean --clustermesh-affinity?\n",
    )
  })

  it('say what is allowed', async () => {
    const { code, out, err } = await weft('status -o xml')
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toBe(
      "error: option '-o, --output <format>' argument 'xml' is invalid. Allowed choices are table, json, yaml.\n" +
        'hint: add --help to see how the command is used\n',
    )
    expect(await weft('bpf lb list --frontends --backends')).toMatchObject({
      code: 2,
      err: 'error: --frontends, --backends and --revnat exclude each other\nhint: choose one\n',
    })
  })

  it('tell that nothing is pinned, before the native library is loaded', async () => {
    expect(await weft('bpf lb list --bpf-root /nonexistent')).toMatchObject({
      code: 1,
      err:
        'error: no maps are pinned under /nonexistent/weft/maps\n' +
        'hint: no agent has run here, or not in this mount namespace; name the bpffs with --bpf-root PATH or WEFT_BPF_ROOT\n',
    })
    const { err } = await weft('bpf lb list', { env: { WEFT_BPF_ROOT: '/nonexistent/env' } })
    expect(err).toContain('/nonexistent/env/weft/maps')
  })
})

describe('where the agent is asked', () => {
  it.each([
    ['status', {}, '/run/weft/weft.sock'],
    ['status', { WEFT_SOCKET: '/tmp/env.sock' }, '/tmp/env.sock'],
    ['--socket /tmp/a.sock status', { WEFT_SOCKET: '/tmp/env.sock' }, '/tmp/a.sock'],
    ['service list --socket /tmp/b.sock', {}, '/tmp/b.sock'],
  ])('%s with %o', async (line, env, socket) => {
    expect(await weft(line, { env, view: world().view })).toMatchObject({ code: 0, socket })
  })
})

describe('help', () => {
  it('prints on stdout when asked, on stderr with status 2 when a command is missing', async () => {
    const asked = await weft('--help')
    expect(asked).toMatchObject({ code: 0, err: '' })
    expect(asked.out).toContain('weft explain service default/webpod')
    expect(await weft('')).toMatchObject({ code: 2, out: '' })
    expect(await weft('--version')).toMatchObject({ code: 0, out: '0.1.0\n' })
  })

  it('has examples, the format option and the global options for every command', async () => {
    for (const path of leaves()) {
      const { code, out } = await weft(`${path.join(' ')} --help`)
      expect(code).toBe(0)
      expect(out, path.join(' ')).toMatch(new RegExp(`Examples:\\n {2}weft ${path.join(' ')}`))
      expect(out, path.join(' ')).toContain('--socket <path>')
      if (path.length > 1 || path[0] === 'status') expect(out, path.join(' ')).toContain('-o, --output <format>')
      if (path[0] === 'bpf') expect(out, path.join(' ')).toContain('--bpf-root <path>')
    }
  })
})

describe('daemons', () => {
  const settings = {
    agent: [
      {
        key: 'clusterName',
        flag: '--cluster-name <name>',
        env: 'WEFT_CLUSTER_NAME',
        description: 'name',
        default: undefined,
      },
      { key: 'clusterId', flag: '--cluster-id <id>', env: 'WEFT_CLUSTER_ID', description: 'number', default: 0 },
      {
        key: 'socket',
        flag: '--socket <path>',
        env: 'WEFT_SOCKET',
        description: 'API socket',
        default: '/run/weft/weft.sock',
      },
    ],
    apiserver: [{ key: 'etcd', flag: '--etcd <urls>', env: 'WEFT_ETCD', description: 'endpoints', default: [] }],
    kvstoremesh: [],
  }

  it('get the flags that were given, and no others', async () => {
    const given = await weft('agent --cluster-name west --socket /tmp/x.sock', {
      settings,
      env: { WEFT_SOCKET: '/tmp/y' },
    })
    expect(given).toMatchObject({ code: 0, err: '', flags: { 'cluster-name': 'west', socket: '/tmp/x.sock' } })
    const bare = await weft('agent', { settings, env: { WEFT_SOCKET: '/tmp/y' } })
    expect(bare.flags).toEqual({})
    expect((await weft('clustermesh-apiserver --etcd http://127.0.0.1:2379', { settings })).flags).toEqual({
      etcd: 'http://127.0.0.1:2379',
    })
  })

  it('--cleanup takes the place of running', async () => {
    const cleaned = await weft('agent --cleanup --cluster-name west', { settings })
    expect(cleaned).toMatchObject({ code: 0, daemon: 'cleanup', flags: { 'cluster-name': 'west' } })
    expect((await weft('agent', { settings })).daemon).toBe('agent')
  })

  it('exit with 2 for a configuration that cannot be used, with 1 for anything else', async () => {
    const invalid = new ConfigError('config-invalid', 'clusterId: 300', { hint: 'allowed: 0 to 255' })
    expect(await weft('agent', { settings, daemonError: invalid })).toMatchObject({
      code: 2,
      out: '',
      err: 'error: clusterId: 300\nhint: allowed: 0 to 255\n',
    })
    const failed = new Error('no bpffs', { cause: new Error('ENOENT') })
    expect(await weft('agent', { settings, daemonError: failed })).toMatchObject({
      code: 1,
      err: 'error: no bpffs: ENOENT\n',
    })
  })

  it('explain every flag with its variable and default', async () => {
    const { out } = await weft('agent --help', { settings })
    expect(out).toMatch(/--cluster-id <id>\s+number \(env WEFT_CLUSTER_ID,\s+default 0\)/)
  })
})

function leaves(): string[][] {
  const context = { env: {}, stdout: () => undefined, stderr: () => undefined } as unknown as CliContext
  const walk = (command: Command, path: string[]): string[][] => {
    const children = command.commands
    return children.length === 0 ? [path] : children.flatMap((child) => walk(child, [...path, child.name()]))
  }
  return walk(buildProgram(context, '0', NO_SETTINGS), [])
}
