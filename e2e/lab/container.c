/* What a container runtime does for one process of a node pod, and no more: namespaces, mounts, a root, an exec.
 *
 * usage: container [-n NETNS] [-r ROOT] [-b FROM:TO]... [-u UID:GID] -- PROGRAM ARGUMENT...
 * The program is PID 1 of a pid namespace of its own; when it ends, everything it started ends. This process waits
 * for it and takes over its exit code. The lab holds our standard input open: when it is cut, the program is killed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *root = "";

static void need(int failed, const char *what)
{
    if (failed) {
        fprintf(stderr, "container: %s: %s\n", what, strerror(errno));
        exit(125);
    }
}

static void bind_mount(char *pair)
{
    char *to = strchr(pair, ':'), target[4096];
    need(!to, pair);
    *to++ = 0;
    snprintf(target, sizeof target, "%s%s", root, to);
    need(mount(pair, target, NULL, MS_BIND | MS_REC, NULL), target);
}

static void enter_root(void)
{
    char proc[4096], dev[4096];
    snprintf(proc, sizeof proc, "%s/proc", root);
    if (*root) {
        snprintf(dev, sizeof dev, "%s/dev", root);
        need(mount("/dev", dev, NULL, MS_BIND | MS_REC, NULL), dev);
    }
    need(mount("proc", proc, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), proc);
    if (*root)
        need(chroot(root) || chdir("/"), root);
}

static void become(char *user)
{
    char *group = strchr(user, ':');
    need(!group, user);
    need(setgroups(0, NULL) || setgid(atoi(group + 1)) || setuid(atoi(user)), user);
}

static int await(pid_t child, int signals)
{
    struct pollfd polled[] = {{0, POLLIN, 0}, {signals, POLLIN, 0}};
    for (;;) {
        int status;
        if (waitpid(child, &status, WNOHANG) == child)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        poll(polled, 2, -1);
        struct signalfd_siginfo seen;
        if (polled[1].revents && read(signals, &seen, sizeof seen) == sizeof seen && seen.ssi_signo == SIGTERM)
            kill(child, SIGTERM);
        char scrap[16];
        if (polled[0].revents && read(0, scrap, sizeof scrap) <= 0) {
            kill(child, SIGKILL);
            polled[0].fd = -1;
        }
    }
}

int main(int count, char **words)
{
    char *network = NULL, *user = NULL, *binds[32];
    int bind_count = 0, option;
    while ((option = getopt(count, words, "+n:r:b:u:")) != -1) {
        if (option == 'n')
            network = optarg;
        else if (option == 'r')
            root = optarg;
        else if (option == 'u')
            user = optarg;
        else if (option == 'b' && bind_count < 32)
            binds[bind_count++] = optarg;
        else
            return 125;
    }
    if (network) {
        int fd = open(network, O_RDONLY | O_CLOEXEC);
        need(fd < 0 || setns(fd, CLONE_NEWNET), network);
    }
    need(unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS), "unshare");
    need(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), "private mounts");
    for (int i = 0; i < bind_count; i++)
        bind_mount(binds[i]);

    sigset_t waited;
    sigemptyset(&waited);
    sigaddset(&waited, SIGCHLD);
    sigaddset(&waited, SIGTERM);
    sigprocmask(SIG_BLOCK, &waited, NULL);
    int signals = signalfd(-1, &waited, SFD_CLOEXEC);
    pid_t child = fork();
    need(child < 0, "fork");
    if (child)
        return await(child, signals);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigprocmask(SIG_UNBLOCK, &waited, NULL);
    int null = open("/dev/null", O_RDWR);
    need(null < 0 || dup2(null, 0) < 0, "/dev/null");
    enter_root();
    if (user)
        become(user);
    execvp(words[optind], words + optind);
    need(1, words[optind]);
}
