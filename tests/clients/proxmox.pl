# What Proxmox VE says to a container's command socket and hears from lxc-monitord, byte by byte, with
# nothing of LXC between. Arguments: lxc-start, lxc-stop, lxc-monitord; what it learns goes to standard
# output, for the same run with other programs to be compared with.
use strict;
use warnings;

use IO::Socket::UNIX;
use POSIX qw(NAME_MAX);
use Socket qw(SOCK_STREAM SOL_SOCKET SO_PASSCRED);

my ($start, $stop, $monitord) = @ARGV;
my $vmid = 101;
my @states = qw(STOPPED STARTING RUNNING STOPPING ABORTING FREEZING FROZEN THAWED);

$| = 1;
$SIG{ALRM} = sub { die "no answer in time\n" };
alarm 60;

sub spawn {
    my @command = @_;
    my $pid = fork() // die "fork: $!\n";
    return $pid if $pid;
    open(STDOUT, '>&', \*STDERR) or die "dup: $!\n";
    exec(@command) or die "$command[0]: $!\n";
}

# A stream to a name in the abstract namespace, undef where nobody listens.
sub dial {
    my ($name) = @_;
    my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => "\0$name");
    return $socket if $socket;
    return undef if $!{ECONNREFUSED};
    die "connect to $name: $!\n";
}

sub dial_soon {
    my ($name) = @_;
    for (1 .. 500) {
        my $socket = dial($name);
        return $socket if $socket;
        select(undef, undef, undef, 0.01);
    }
    die "nobody listens on $name\n";
}

sub exactly {
    my ($socket, $length) = @_;
    my $data = '';
    recv($socket, $data, $length, 0) // die "recv: $!\n";
    die "$length bytes expected, " . length($data) . " came\n" if length($data) != $length;
    return $data;
}

# The events of the monitor's socket.
my $messages;

sub message {
    my $length = 4 + NAME_MAX + 1 + 4;
    my $data = exactly($messages, $length);
    my ($type, $name, $value) = unpack('I!Z' . (NAME_MAX + 1) . 'I!', $data);
    return "state of $name: " . ($states[$value] // $value) if $type == 0;
    return "exit code of $name: $value" if $type == 2;
    return "type $type of $name: $value";
}

# A request is two packets where it has a payload; the answer is read the same way.
sub ask {
    my ($command, $payload) = @_;
    $payload //= '';
    my $socket = dial("/var/lib/lxc/$vmid/command") // return undef;
    setsockopt($socket, SOL_SOCKET, SO_PASSCRED, 1) or die "SO_PASSCRED: $!\n";
    my $request = pack('i!i!L!', $command, length($payload), 0);
    for my $packet ($request, $payload) {
        next if $packet eq '';
        my $sent = send($socket, $packet, 0) // die "send: $!\n";
        die "short write\n" if $sent != length($packet);
    }
    my $answer = '';
    recv($socket, $answer, 16, 0) // die "recv: $!\n";
    return 'hangs up' if $answer eq '';
    die "short answer\n" if length($answer) != 16;
    my ($ret, $length, $number) = unpack('i!i!L!', $answer);
    my $data = $length > 0 ? exactly($socket, $length) : '';
    return ($ret, $number, $data);
}

sub shown {
    my ($ret, $number, $data) = @_;
    return 'not running' if !defined($ret);
    return $ret if !defined($data);
    # Beside a text the number says nothing.
    return "ret $ret, number $number" if $data eq '';
    $data =~ s/\0/\\0/g;
    $data =~ s/\n/\\n/g;
    return "ret $ret, data '$data'";
}

sub is_listed {
    open(my $sockets, '<', '/proc/net/unix') or die "/proc/net/unix: $!\n";
    return scalar grep { /\s\@\/var\/lib\/lxc\/$vmid\/command$/ } <$sockets>;
}

my $daemon = spawn($monitord, '--daemon');
$messages = dial_soon('lxc/ad055575fe28ddd5//var/lib/lxc');
my $container = spawn($start, '-F', '-n', $vmid);
for (1 .. 2) {
    print message(), "\n";
}
print 'listed: ', (is_listed() > 0 ? 'yes' : 'no'), "\n";

# Paths by controller, with and without the inner directory.
for my $controller ('memory', 'freezer', 'name=systemd', 'nosuch') {
    for my $command (6, 19) {
        my $payload = pack('Z*', $controller);
        print "$command $controller: ", shown(ask($command, $payload)), "\n";
    }
}
for my $item ('lxc.uts.name', 'lxc.cgroup.dir.container.inner', 'lxc.nosuch', 'lxc.net') {
    print "item $item: ", shown(ask(7, pack('Z*', $item))), "\n";
}
print 'state: ', shown(ask(3)), "\n";
print 'name: ', shown(ask(8)), "\n";
print 'lxcpath: ', shown(ask(9)), "\n";
my ($ret, $init) = ask(4);
print 'init lives: ', ($ret == 0 && kill(0, $init) ? 'yes' : 'no'), "\n";
# Where cgroups are not of the second version alone, the caller has to do it.
print 'freeze: ', shown(ask(15, pack('i!', 10))), "\n";
print 'unfreeze: ', shown(ask(16, pack('i!', 10))), "\n";
print 'no such command: ', shown(ask(99)), "\n";

# Whoever holds a connection knows when the container ends.
my $alive = dial("/var/lib/lxc/$vmid/command") // die "not running\n";
waitpid(spawn($stop, '-n', $vmid, '--kill'), 0);
print 'stop: ', $? >> 8, "\n";
my $end = '';
recv($alive, $end, 1, 0) // die "recv: $!\n" unless $!{ECONNRESET};
print 'the connection ends: ', ($end eq '' ? 'yes' : 'no'), "\n";
for (1 .. 3) {
    print message(), "\n";
}
waitpid($container, 0);
print 'lxc-start: ', $? >> 8, "\n";
print 'listed: ', (is_listed() > 0 ? 'yes' : 'no'), "\n";
print 'state: ', shown(ask(3)), "\n";
send($messages, 'quit', 0);
waitpid($daemon, 0);
print 'lxc-monitord: ', $? >> 8, "\n";
