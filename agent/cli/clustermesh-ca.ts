import type { Command } from 'commander'
import { Argument, InvalidArgumentError } from 'commander'
import { isIP } from 'node:net'
import type { RenewalResult } from '../pki/renew.ts'
import type { StoredCertificate } from '../pki/store.ts'
import type { CliContext, Format } from './context.ts'
import { formatOption, print } from './context.ts'
import type { CertificateReport, RenewalReport } from './clustermesh-ca-text.ts'
import { renderCertificates, renderRenewals } from './clustermesh-ca-text.ts'

const DEFAULT_DIRECTORY = '/etc/weft/pki'
/** As `CERTIFICATE_KINDS`, which is not loaded for commands that need it not. */
const KINDS = ['server', 'remote', 'admin', 'local'] as const

/** `-o json|yaml` of `ca show`. Times are RFC 3339. */
interface IssueOptions {
  readonly dir: string
  readonly cluster?: string
  readonly peer?: string
  readonly namespace?: string
  readonly dns: readonly string[]
  readonly ip: readonly string[]
  readonly days?: number
  readonly output: Format
}

export function addCa(mesh: Command, context: CliContext): void {
  const ca = mesh
    .command('ca')
    .summary('the CA of the mesh, and certificates signed by it')
    .description('Make the CA of the mesh and the certificates of its clusters, show and renew them.')
  addInit(ca, context)
  addIssue(ca, context)
  addShow(ca, context)
  addRenew(ca, context)
  addTrust(ca, context)
}

function addInit(ca: Command, context: CliContext): void {
  ca.command('init')
    .summary('make a new CA')
    .description('Make a new CA: ca.crt and ca.key in the directory. One that exists is never overwritten.')
    .argument('[directory]', 'where to', DEFAULT_DIRECTORY)
    .option('--name <name>', 'common name (default "weft CA")')
    .option('--days <days>', 'how long it is valid (default 3650)', days)
    .addOption(formatOption())
    .addHelpText(
      'after',
      '\nExamples:\n  weft clustermesh ca init\n  weft clustermesh ca init /root/mesh-ca --days 1095',
    )
    .action(async (directory: string, options: { name?: string; days?: number; output: Format }) => {
      const [{ createCa }, { writeNewCa }] = await Promise.all([import('../pki/issue.ts'), import('../pki/store.ts')])
      const { output, ...wanted } = options
      await writeNewCa(directory, await createCa({ ...wanted, now: context.clock.date() }))
      await print(context, output, await reportsOf(directory, ['ca.crt'], context), renderCertificates)
      context.stderr(
        `${directory}/ca.crt and ca.key written; keep the key where only this machine's root can read it\n`,
      )
    })
}

function addIssue(ca: Command, context: CliContext): void {
  ca.command('issue')
    .summary('make a certificate')
    .description(
      'Make a certificate with a new key. server: an etcd that exports a cluster. remote: may read what clusters export; ' +
        'with --peer, one cluster of its own. admin: exports a cluster (--cluster). local: reads what was mirrored (--cluster).',
    )
    .addArgument(new Argument('<kind>', 'what it is for').choices(KINDS))
    .option('-d, --dir <directory>', 'where the CA is, and the certificate is written to', DEFAULT_DIRECTORY)
    .option('--cluster <name>', 'the cluster it belongs to (admin, local)')
    .option('--peer <name>', 'the only cluster that uses it (remote)')
    .option('--dns <name>', 'one more name of a server; may be repeated', collect, [])
    .option('--ip <address>', 'one more address of a server; may be repeated', address, [])
    .option('--namespace <name>', 'Kubernetes namespace of a server (default kube-system)')
    .option('--days <days>', 'how long it is valid (default 365)', days)
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  weft clustermesh ca issue server --ip 172.18.0.5
  weft clustermesh ca issue admin --cluster east
  weft clustermesh ca issue remote --peer west`,
    )
    .action(async (kind: (typeof KINDS)[number], options: IssueOptions) => {
      const [{ issueCertificate, CERTIFICATE_DAYS }, { profileOf }, store] = await Promise.all([
        import('../pki/issue.ts'),
        import('../pki/kinds.ts'),
        import('../pki/store.ts'),
      ])
      const { cluster, peer, namespace, dns, ip: ips } = options
      const profile = profileOf({ kind, cluster, peer, namespace, dns, ips })
      const signer = await store.readSigner(options.dir)
      const lifetimeMs = (options.days ?? CERTIFICATE_DAYS) * 86_400_000
      const pair = await issueCertificate({ ca: signer, profile, lifetimeMs, now: context.clock.date() })
      await store.writePair(options.dir, profile.file, pair)
      const reports = await reportsOf(options.dir, [`${profile.file}.crt`], context)
      await print(context, options.output, reports, renderCertificates)
      context.stderr(`${options.dir}/${profile.file}.crt and .key written\n`)
    })
}

function addShow(ca: Command, context: CliContext): void {
  ca.command('show')
    .summary('certificates, and whether they are still good')
    .description('Show the CA and all certificates of a directory. Exits with 1 when one of them is not valid.')
    .argument('[directory]', 'where they are', DEFAULT_DIRECTORY)
    .addOption(formatOption())
    .addHelpText('after', '\nExamples:\n  weft clustermesh ca show\n  weft clustermesh ca show /root/mesh-ca -o json')
    .action(async (directory: string, options: { output: Format }) => {
      const reports = await reportsOf(directory, undefined, context)
      await print(context, options.output, reports, renderCertificates)
      if (reports.some(({ state }) => state !== 'ok' && state !== 'expires-soon')) context.exitCode = 1
    })
}

function addRenew(ca: Command, context: CliContext): void {
  ca.command('renew')
    .summary('issue anew what has lived two thirds of its life')
    .description(
      'Issue anew every certificate that has lived two thirds of its life, or that an older CA of the bundle had signed. ' +
        'Changes nothing else, so it may run from a timer. Exits with 1 when something needs a person.',
    )
    .argument('[directory]', 'where the CA and the certificates are', DEFAULT_DIRECTORY)
    .addOption(formatOption())
    .addHelpText('after', '\nExamples:\n  weft clustermesh ca renew\n  weft clustermesh ca renew /root/mesh-ca -o json')
    .action(async (directory: string, options: { output: Format }) => {
      const { renewDirectory } = await import('../pki/renew.ts')
      const reports = (await renewDirectory(directory, context.clock.date())).map(renewalReport)
      await print(context, options.output, reports, renderRenewals)
      if (reports.some(({ attention }) => attention)) context.exitCode = 1
    })
}

function addTrust(ca: Command, context: CliContext): void {
  ca.command('trust')
    .summary('trust one more CA')
    .description(
      'Add the CAs of a file to ca.crt of a directory, to trust both while one replaces the other, or while clusters with ' +
        'CAs of their own join. Those known already are passed over.',
    )
    .argument('<file>', 'certificates of CAs')
    .option('-d, --dir <directory>', 'where ca.crt is', DEFAULT_DIRECTORY)
    .addOption(formatOption())
    .addHelpText('after', '\nExamples:\n  weft clustermesh ca trust /root/new-ca/ca.crt')
    .action(async (file: string, options: { dir: string; output: Format }) => {
      const [{ parseCertificates }, { readText, trust }] = await Promise.all([
        import('../pki/certificate.ts'),
        import('../pki/store.ts'),
      ])
      const added = await trust(options.dir, parseCertificates(await readText(file), file))
      const names = added.map(({ subject, serial }) => `${subject} (${serial})`).join(', ')
      await print(context, options.output, await reportsOf(options.dir, ['ca.crt'], context), renderCertificates)
      context.stderr(added.length === 0 ? 'trusted already\n' : `now trusted: ${names}\n`)
    })
}

/** Certificates of a directory, or those of some of its files. */
async function reportsOf(
  directory: string,
  files: readonly string[] | undefined,
  context: CliContext,
): Promise<CertificateReport[]> {
  const [{ readDirectory }, { renewalTime }] = await Promise.all([
    import('../pki/store.ts'),
    import('../pki/validity.ts'),
  ])
  return (await readDirectory(directory, context.clock.date()))
    .filter(({ file }) => files?.includes(file) !== false)
    .map((each) => certificateReport(each, renewalTime(each.certificate)))
}

function certificateReport({ file, certificate, verdict }: StoredCertificate, renewal: Date): CertificateReport {
  const { subject, issuer, serial, notBefore, notAfter, dns, ips } = certificate
  return {
    ...{ file, subject, issuer, serial },
    notBefore: notBefore.toISOString(),
    notAfter: notAfter.toISOString(),
    renewal: renewal.toISOString(),
    ...{ dns, ips, ca: certificate.ca },
    state: verdict.state,
    verdict: verdict.text,
  }
}

function renewalReport({ file, renewed, reason, attention }: RenewalResult): RenewalReport {
  const until = renewed === undefined ? {} : { notAfter: renewed.notAfter.toISOString() }
  return { file, renewed: renewed !== undefined, ...until, reason, attention }
}

function days(text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < 1 || value > 36_500) throw new InvalidArgumentError('A number from 1 to 36500.')
  return value
}

function collect(name: string, names: readonly string[]): string[] {
  if (!/^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/i.test(name) || name.length > 253) {
    throw new InvalidArgumentError('Not a DNS name.')
  }
  return [...names, name]
}

function address(text: string, addresses: readonly string[]): string[] {
  if (isIP(text) === 0) throw new InvalidArgumentError('Not an IP address.')
  return [...addresses, text]
}
